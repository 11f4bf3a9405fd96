"""What a job reads is part of its digest: from listings of a real S3 server."""

import logging
from collections.abc import Callable
from typing import Any

import hydra
import pytest

from snowcover.config_root import conf_dir
from snowcover.validation import check
from snowcover_launch.aws.session import Account
from snowcover_launch.backends.sagemaker.inputs import InputDigests, MissingInput
from snowcover_launch.backends.sagemaker.request import config_digest
from snowcover_launch.config import JobConfig
from tests.servers import Bucket, Fault, Proxy

COLUMNS = "scene,z,x,y,collect,date,image,mask,image_bytes,mask_bytes\n"
DENIED = Fault(403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")


@pytest.fixture(scope="module")
def demo() -> JobConfig:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return check(JobConfig, hydra.compose("config"))


@pytest.fixture
def account(s3: Bucket) -> Account:
    return Account("us-east-1", None)


def reading(config: JobConfig, checkpoint: dict[str, Any] | None = None, **data: Any) -> JobConfig:
    values = config.model_dump()
    return JobConfig.model_validate({
        **values,
        "data": {**values["data"], "generate": {}, **data},
        "checkpoint": {**values["checkpoint"], **(checkpoint or {})},
    })  # fmt: skip


def tiles(config: JobConfig, s3: Bucket, scenes: str = "imagery/2018*") -> JobConfig:
    """A config that reads scenes and a collect, of two tiles each."""
    for folder in ("imagery/20180528_a", "imagery/20180529_b", "masks/ASO_20180528"):
        for tile in ("15/1/1.tif", "15/1/2.tif"):
            s3.put(f"{folder}/{tile}", folder.encode())
    return reading(config, sources=[{"scenes": f"{s3.uri}/{scenes}", "collect": f"{s3.uri}/masks/ASO_20180528/"}])


def test_changed_added_or_removed_tiles_at_one_address_make_another_job(
    s3: Bucket, account: Account, demo: JobConfig
) -> None:
    config = tiles(demo, s3)

    def digest() -> str:
        return config_digest(config, InputDigests(account).of(config))

    before = digest()
    s3.put("imagery/2018_notes.txt", b"nothing that is read")
    s3.put("imagery/20180528_a/preview.png", b"nor that")
    s3.put("imagery/2018_more/below/20180528_c/15/1/1.tif", b"a scene that the pattern does not match")
    assert digest() == before
    seen = [before]
    s3.put("imagery/20180528_a/15/1/1.tif", b"IMAGERY/20180528_A")  # of the same size
    seen.append(digest())
    s3.put("masks/ASO_20180528/15/1/3.tif", b"1")
    seen.append(digest())
    s3.put("imagery/20180530_c/15/1/1.tif", b"a further scene")
    seen.append(digest())
    assert len({*seen}) == 4
    for key in ("imagery/20180530_c/15/1/1.tif", "masks/ASO_20180528/15/1/3.tif"):
        s3.server.client.delete_object(Bucket=s3.name, Key=key)
    assert digest() == seen[1]


def test_three_hundred_jobs_list_tiles_once_and_the_demo_lists_nothing(
    s3: Bucket, s3_proxy: Callable[..., Proxy], demo: JobConfig
) -> None:
    config, proxy = tiles(demo, s3), s3_proxy()
    known = InputDigests(Account("us-east-1", None))
    assert len({known.of(config) for _ in range(300)}) == 1
    assert len(proxy.requests) == 2  # scenes and collect
    assert known.of(demo) is None
    assert len(proxy.requests) == 2


def test_the_digest_of_a_manifest_covers_its_text_and_its_tiles(s3: Bucket, account: Account, demo: JobConfig) -> None:
    tiles(demo, s3)
    image, mask = f"{s3.uri}/imagery/20180528_a/15/1/1.tif", f"{s3.uri}/masks/ASO_20180528/15/1/1.tif"
    row = f"20180528_a,15,1,1,ASO_20180528,20180528,{image},{mask},18,18\n"
    s3.put("manifest.csv", (COLUMNS + row).encode())
    config = reading(demo, manifest=f"{s3.uri}/manifest.csv")
    seen = [InputDigests(account).of(config)]
    s3.put("imagery/20180528_a/15/1/2.tif", b"not in it")
    assert InputDigests(account).of(config) == seen[0]
    s3.put("imagery/20180528_a/15/1/1.tif", b"IMAGERY/20180528_A")
    seen.append(InputDigests(account).of(config))
    s3.put("manifest.csv", (COLUMNS + row + row.replace("15/1/1", "15/1/2")).encode())
    seen.append(InputDigests(account).of(config))
    assert len({*seen}) == 3
    for text, what in (
        ("scene\n1\n", r"which is not the manifest\.csv of a run"),
        (COLUMNS + row.replace(image, "imagery/15/1/1.tif"), r"whose tiles are on this machine \(imagery/15/1/1.tif"),
    ):
        s3.put("manifest.csv", text.encode())
        with pytest.raises(MissingInput, match=what):
            InputDigests(account).of(config)


def test_layers_are_read_unless_the_job_makes_them(s3: Bucket, account: Account, demo: JobConfig) -> None:
    s3.put("dem/15/1/1.tif", b"metres")
    config = tiles(demo, s3)
    with_layers = reading(config, layers={"slope": f"{s3.uri}/dem"})
    seen = [InputDigests(account).of(one) for one in (config, with_layers)]
    s3.put("dem/15/1/1.tif", b"METRES")
    seen.append(InputDigests(account).of(with_layers))
    assert len({*seen}) == 3
    made = demo.data.generate["folder"]
    of_demo = reading(demo, generate=demo.data.generate, layers={"slope": f"{made}/layers/terrain"})
    assert InputDigests(account).of(of_demo) is None
    with pytest.raises(MissingInput, match=r"data\.layers\.slope names .*/nowhere, where there are no tiles"):
        InputDigests(account).of(reading(config, layers={"slope": f"{s3.uri}/nowhere"}))


def test_the_digest_of_initial_weights_covers_their_content(s3: Bucket, account: Account, demo: JobConfig) -> None:
    for key in ("init_from", "resume"):
        config = reading(demo, {key: f"{s3.uri}/{key}/last.ckpt"}, generate=demo.data.generate)
        with pytest.raises(MissingInput, match=rf"checkpoint\.{key} names .*/{key}/last\.ckpt, which does not exist"):
            InputDigests(account).of(config)
        s3.put(f"{key}/last.ckpt", b"one")
        first = InputDigests(account).of(config)
        s3.put(f"{key}/last.ckpt", b"two")
        assert InputDigests(account).of(config) not in (first, None)
        s3.put(f"{key}/best.ckpt", b"three")  # all that a complete run keeps
        s3.server.client.delete_object(Bucket=s3.name, Key=f"{key}/last.ckpt")
        assert InputDigests(account).of(config) not in (first, None)


def test_the_digest_of_encoder_weights_covers_their_content(s3: Bucket, account: Account, demo: JobConfig) -> None:
    config = demo.model_copy(update={"model": {**demo.model, "encoder_weights": f"{s3.uri}/s2.pth"}})
    with pytest.raises(MissingInput, match=r"model\.encoder_weights names .*/s2\.pth, which does not exist"):
        InputDigests(account).of(config)
    digests = set()
    for content in (b"one", b"two"):
        s3.put("s2.pth", content)
        digests.add(InputDigests(account).of(config))
    assert len(digests - {None}) == 2


def test_a_job_without_tiles_is_refused_before_it_is_paid_for(s3: Bucket, account: Account, demo: JobConfig) -> None:
    config = tiles(demo, s3, scenes="imagery/2019*")
    with pytest.raises(MissingInput, match=r"data\.sources names .*/imagery/2019\*, where there are no tiles"):
        InputDigests(account).of(config)


def test_tiles_that_may_not_be_listed_are_never_mistaken_for_those_of_an_earlier_job(
    s3: Bucket, s3_proxy: Callable[..., Proxy], demo: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiles(demo, s3)
    s3_proxy(fail=lambda request: DENIED if "masks" in request.path else None)
    account = Account("us-east-1", None)
    known = InputDigests(account)
    with caplog.at_level(logging.WARNING):
        first = known.of(config)
    assert known.of(config) == first  # the digest of a job is stable while it is sent
    assert caplog.text.count("none is reused or resumed for jobs that read") == 1
    assert InputDigests(account).of(config) != first
