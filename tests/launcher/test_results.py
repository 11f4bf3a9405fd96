"""Results of a job in S3, and how they are downloaded without touching the user's own files."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from snowcover import tracking
from snowcover_launch.archive import BadArchive, unpack
from snowcover_launch.aws.errors import Unreachable
from snowcover_launch.aws.session import Account
from snowcover_launch.backends.sagemaker import results
from snowcover_launch.job import Job, Report, State
from snowcover_launch.job_files import CannotWriteFiles, new_files, put_files
from tests.sagemaker import SageMaker
from tests.servers import Bucket

NAME = "snowcover-unet-000-abc"


def a_job(prefix: str, checkpoints: str = "") -> Job:
    return Job(
        number=0, name=NAME, title="", backend="sagemaker", experiment="e", folder="0", prefix=prefix,
        checkpoints=checkpoints, tracking_uri="sqlite:///mlflow.db",
    )  # fmt: skip


def archive(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b"" if isinstance(content, tarfile.TarInfo) else content
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def files(folder: Path) -> dict[str, str]:
    """The visible files and their contents."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


# Archives


def test_an_archive_is_unpacked_as_it_was_packed(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(archive({"best.ckpt": b"weights", "pictures/a.png": b"a", "empty": b""}))
    unpack(tmp_path / "a.tar.gz", tmp_path / "out", "s3://b/a.tar.gz")
    assert files(tmp_path / "out") == {"best.ckpt": "weights", "pictures/a.png": "a", "empty": ""}


def flipped_content(packed: bytes) -> bytes:
    """Bytes of a file, under the checksum of those before: as stored blocks of deflate, which find nothing wrong."""
    plain = gzip.decompress(packed)
    stored = gzip.compress(plain, compresslevel=0)
    return stored.replace(b"weights", b"WEIGHTS")


def flipped_checksum(packed: bytes) -> bytes:
    return packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:]


def cut_short(packed: bytes) -> bytes:
    return packed[: len(packed) // 2]


def broken_in_the_middle(packed: bytes) -> bytes:
    at = len(packed) // 2
    return packed[:at] + bytes(byte ^ 255 for byte in packed[at : at + 8]) + packed[at + 8 :]


def not_an_archive(packed: bytes) -> bytes:
    return b"<html>"


@pytest.mark.parametrize(
    "harm",
    [flipped_content, flipped_checksum, cut_short, broken_in_the_middle, not_an_archive],
    ids=lambda f: f.__name__,
)
def test_a_damaged_archive_is_refused_even_if_partly_readable(tmp_path: Path, harm: Callable[[bytes], bytes]) -> None:
    packed = archive({"best.ckpt": b"weights", "noise": os.urandom(500)})
    (tmp_path / "a.tar.gz").write_bytes(harm(packed))
    with pytest.raises(BadArchive, match=r"s3://b/a\.tar\.gz cannot be unpacked \(.+\): nothing of it was saved"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", "s3://b/a.tar.gz")


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "hostile",
    [
        {"../x": b"out"}, {"a/../../x": b"out"}, {"/x": b"out"},
        {"link": special("link", tarfile.SYMTYPE, "/etc")}, {"hard": special("hard", tarfile.LNKTYPE, "a")},
        {"pipe": special("pipe", tarfile.FIFOTYPE)},
    ],
    ids=["above", "further above", "absolute", "link", "hard link", "pipe"],
)  # fmt: skip
def test_a_hostile_archive_is_refused(tmp_path: Path, hostile: Mapping[str, Any]) -> None:
    (tmp_path / "a.tar.gz").write_bytes(archive(hostile))
    with pytest.raises(BadArchive):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out", "s3://b/a.tar.gz")
    assert not (tmp_path / "x").exists()


# Files


def put(folder: Path, contents: Mapping[str, str]) -> list[str]:
    with new_files(folder) as new:
        for name, content in contents.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(content)
        return [path.relative_to(folder).as_posix() for path in put_files(new, folder)]


def test_files_put_again_replace_their_own_and_no_files_of_the_user(tmp_path: Path) -> None:
    first = {"model/best.ckpt": "epoch 1", "model/config.yaml": "lr: 1", "output/result.json": "{}"}
    assert put(tmp_path, first) == []
    (tmp_path / "model/notes.txt").write_text("mine")
    (tmp_path / "model/config.yaml").write_text("lr: 2  # mine")
    (tmp_path / "output/result.json").unlink()
    second = first | {"model/best.ckpt": "epoch 2", "output/train.log": "said"}
    assert put(tmp_path, second) == ["model/config.yaml"]
    assert files(tmp_path) == second | {"model/notes.txt": "mine", "model/config.yaml": "lr: 2  # mine"}
    (tmp_path / "model/config.yaml").rename(tmp_path / "model/mine.yaml")
    assert put(tmp_path, second) == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".fetch-")]


def test_anything_else_of_the_user_at_a_files_path_stays(tmp_path: Path) -> None:
    (tmp_path / "model/best.ckpt").mkdir(parents=True)
    (tmp_path / "output").write_text("a file of this name")
    (tmp_path / "model/config.yaml").symlink_to("nowhere")
    (tmp_path / "model/split.csv").write_text("mine")
    (tmp_path / ".fetched.json").write_text("damaged")
    names = ["model/best.ckpt", "model/config.yaml", "model/split.csv", "output/result.json"]
    assert put(tmp_path, dict.fromkeys([*names, "model/manifest.csv"], "the job's")) == names
    assert (tmp_path / "model/best.ckpt").is_dir()
    assert (tmp_path / "model/manifest.csv").read_text() == "the job's"


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWriteFiles, match=r"cannot be written to .*file/job \(Not a directory\): free space"):
        put(tmp_path / "file/job", {"model/best.ckpt": ""})


# S3


@pytest.fixture
def account(sagemaker: SageMaker) -> Account:
    return Account(sagemaker.region, None)


@pytest.fixture
def job(sagemaker: SageMaker) -> Job:
    prefix = f"{sagemaker.bucket.uri}/snowcover/e/{NAME}"
    return a_job(prefix, f"{prefix}/checkpoints")


def key(job: Job, kind: str) -> str:
    return f"{job.prefix.split('/', 3)[3]}/output/{job.name}/output/{kind}.tar.gz"


def test_fetching_again_keeps_what_the_user_put_into_the_folder(
    account: Account, job: Job, s3: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    s3.put(key(job, "model"), archive({"best.ckpt": b"weights", "config.yaml": b"seed: 0"}))
    s3.put(key(job, "output"), archive({"result.json": b"{}", "mlflow/mlflow.db": b"db"}))
    folder = tmp_path / "copied" / "0"
    for _ in range(2):
        assert results.fetch(account, job, folder) == [folder / "model", folder / "output"]
        (folder / "model/mine.png").write_text("mine")
    assert not caplog.messages
    names = {"model/best.ckpt", "model/config.yaml", "model/mine.png", "output/result.json", "output/mlflow/mlflow.db"}
    assert set(files(folder)) == names
    (folder / "model/config.yaml").write_text("seed: 1")
    results.fetch(account, job, folder)
    assert files(folder)["model/config.yaml"] == "seed: 1"
    assert "model/config.yaml was changed, so it was not overwritten: rename it and fetch again" in caplog.messages[0]


@pytest.mark.parametrize("left", [{}, {"train.log": b""}], ids=["no archive", "an archive without a network"])
def test_the_model_of_a_job_without_one_is_its_best_checkpoint_so_far(
    account: Account, job: Job, s3: Bucket, tmp_path: Path, left: Mapping[str, bytes]
) -> None:
    job.checkpoints = f"{s3.uri}/snowcover/e/an-earlier-job/checkpoints"
    if left:
        s3.put(key(job, "model"), archive(left))
    assert results.fetch(account, a_job(job.prefix, f"{s3.uri}/nothing"), tmp_path / "x") == [
        tmp_path / "x/model"
    ] * len(left)
    for content in (b"epoch 1", b"epoch 2"):
        s3.put("snowcover/e/an-earlier-job/checkpoints/best.ckpt", content)
        assert results.fetch(account, job, tmp_path / "0") == [tmp_path / "0/model"]
        assert (tmp_path / "0/model/best.ckpt").read_bytes() == content


def test_a_damaged_archive_leaves_the_folder_as_it_was(account: Account, job: Job, s3: Bucket, tmp_path: Path) -> None:
    s3.put(key(job, "model"), archive({"best.ckpt": b"weights"}))
    s3.put(key(job, "output"), flipped_checksum(archive({"result.json": b"{}"})))
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine").touch()
    with pytest.raises(BadArchive, match=r"output\.tar\.gz cannot be unpacked"):
        results.fetch(account, job, tmp_path)
    assert list(files(tmp_path)) == ["model/mine"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"objective": "x"}', b"\xff\xfe"])
def test_an_unreadable_result_is_none(account: Account, s3: Bucket, content: bytes) -> None:
    s3.put("job/result.json", content)
    assert results.read_result(account, f"{s3.uri}/job/result.json") is None
    assert results.read_result(account, f"{s3.uri}/no/result.json") is None


def test_a_result_whose_download_breaks_is_read_again_and_not_lost(
    account: Account, s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.put("job/result.json", json.dumps({"objective": 0.5, "run_id": "r"}).encode())
    from botocore.exceptions import IncompleteReadError
    from botocore.response import StreamingBody

    def broken(*_: Any, **__: Any) -> bytes:
        raise IncompleteReadError(actual_bytes=1, expected_bytes=40)

    with monkeypatch.context() as patch:
        patch.setattr(StreamingBody, "read", broken)
        with pytest.raises(Unreachable):
            results.read_result(account, f"{s3.uri}/job/result.json")
    assert results.read_result(account, f"{s3.uri}/job/result.json") == {"objective": 0.5, "run_id": "r"}


def test_the_cost_of_a_job_is_recorded_on_its_run_but_not_over_that_of_a_later_job(
    job: Job, tmp_path: Path, empty_database: Path
) -> None:
    home = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    job.tracking_uri, job.own_store = home, False
    with tracking.recorded(home, "e", "n", False, tags={"job": NAME}) as recorder:
        pass
    report = Report(state=State.STOPPED, tags={"job.spot": "true"}, metrics={"job_cost_usd": 1.0})
    nobody: Any = None
    assert results.import_run(nobody, job, report, tmp_path) == recorder.run_id
    tracking.note(home, recorder.run_id, {"job": "the-next", "job.spot": "false"}, {})
    assert results.import_run(nobody, job, report, tmp_path) is None


def test_the_costs_of_the_jobs_of_one_run_add_up(job: Job, tmp_path: Path, empty_database: Path) -> None:
    home = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    with tracking.recorded(home, "e", "n", False, tags={"job": "first"}) as recorder:
        pass
    for name, cost in (("first", 1.0), ("second", 0.5), ("second", 0.5)):
        tracking.note_job(home, recorder.run_id, name, {"job": name}, {"job_cost_usd": cost, "job_spot_saving": cost})
    metrics = MlflowClient(home).get_run(recorder.run_id).data.metrics
    assert (metrics["job_cost_usd"], metrics["job_spot_saving"]) == (1.5, 0.5)
