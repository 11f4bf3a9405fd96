"""Encoder weights from a file: of whatever layout, learnt on whatever bands, mapped by name or refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor, nn

from snowcover import network
from snowcover.encoder_weights import NoWeights
from snowcover.paths import weights_file
from snowcover.validation import ConfigError
from tests.servers import Bucket

PLANET = ["blue", "green", "red", "nir"]
SENTINEL_2 = [
    "coastal", "blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir_narrow", "water_vapour",
    "cirrus", "swir1", "swir2",
]  # fmt: skip


@pytest.fixture(scope="module")
def sentinel() -> Mapping[str, Tensor]:
    """What an encoder has learnt on Sentinel-2."""
    torch.manual_seed(0)
    return smp.encoders.get_encoder("resnet18", in_channels=13, weights=None).state_dict()


def unet(weights: Path | str, bands: list[str] | None = None, name: str = "resnet18") -> nn.Module:
    node = {"_target_": "segmentation_models_pytorch.Unet", "encoder_name": name, "encoder_weights": str(weights)}
    return network.build(node | ({"encoder_bands": bands} if bands else {}), PLANET, pretrained=True)


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    "laid_out",
    [
        lambda state: {**state, "fc.weight": torch.zeros(9, 512)},  # torchvision, timm, torchgeo's published ones
        lambda state: {"state_dict": {**below("model.backbone.", state), "model.head.weight": torch.zeros(3)}},
        lambda state: {"state_dict": {**below("model.encoder.", state), "model.decoder.w": torch.zeros(1)}, "epoch": 3},
        lambda state: {**below("encoder.", state), "segmentation_head.0.weight": torch.zeros(1)},
        lambda state: {"model": below("module.", state)},
    ],
    ids=["backbone", "trainer", "segmentation task", "smp", "data parallel"],
)
def test_a_sentinel_2_encoder_brings_its_bands_by_name_as_they_are(
    laid_out: Any, sentinel: Mapping[str, Tensor], tmp_path: Path
) -> None:
    torch.save(laid_out(sentinel), tmp_path / "weights.pth")
    own = unet(tmp_path / "weights.pth", SENTINEL_2).encoder.state_dict()
    for key, value in sentinel.items():
        expected = value[:, [SENTINEL_2.index(band) for band in PLANET]] if key == "conv1.weight" else value
        assert torch.equal(own[key], expected), key


def test_safetensors_are_read_from_s3(sentinel: Mapping[str, Tensor], s3: Bucket) -> None:
    s3.put("weights/s2.safetensors", safetensors.torch.save({key: value.clone() for key, value in sentinel.items()}))
    made = unet(f"{s3.uri}/weights/s2.safetensors", SENTINEL_2)
    assert torch.equal(made.encoder.state_dict()["layer1.0.conv1.weight"], sentinel["layer1.0.conv1.weight"])


def test_timms_own_file_fits_its_encoder_in_smp(tmp_path: Path) -> None:
    theirs = timm.create_model("test_resnet", in_chans=3).state_dict()
    torch.save(theirs, tmp_path / "weights.pth")
    own = unet(tmp_path / "weights.pth", name="tu-test_resnet").encoder.state_dict()
    assert torch.equal(own["model.layer4.0.conv1.weight"], theirs["layer4.0.conv1.weight"])
    red = own["model.conv1.0.weight"][:, PLANET.index("red")]
    torch.testing.assert_close(red, theirs["conv1.0.weight"][:, 0] * 3 / 4)  # learnt on RGB where nothing else is said


def test_of_as_many_bands_in_another_order_the_first_filters_alone_are_reordered(tmp_path: Path) -> None:
    theirs = smp.encoders.get_encoder("resnext50_32x4d", in_channels=4, weights=None).state_dict()  # groups of 4
    torch.save(theirs, tmp_path / "weights.pth")
    own = unet(tmp_path / "weights.pth", PLANET[::-1], "resnext50_32x4d").encoder.state_dict()
    assert torch.equal(own["conv1.weight"], theirs["conv1.weight"].flip(1))
    assert torch.equal(own["layer1.0.conv2.weight"], theirs["layer1.0.conv2.weight"])


def test_what_does_not_fit_is_listed_and_bands_are_asked_for(sentinel: Mapping[str, Tensor], tmp_path: Path) -> None:
    torch.save(sentinel, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"conv1\.weight is \[64, 13, 7, 7\] and not .*model\.encoder_bands=\["):
        unet(tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"layer1\.0\.conv3\.weight is missing.*downsample\.0\.weight is "):
        unet(tmp_path / "weights.pth", SENTINEL_2, "resnet50")


class Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"conv1.weight": torch.full((1,), torch.nan)}, r"holds weights that are not finite \(conv1\.weight"),
        ([1, 2], r"holds no weights by name"),
        ({"a": Evil()}, r"the file holds more than weights"),
    ],
)
def test_what_is_no_file_of_weights_is_reported(held: Any, message: str, tmp_path: Path, capsys: Any) -> None:
    torch.save(held, tmp_path / "weights.pth")
    with pytest.raises(NoWeights, match=message):
        unet(tmp_path / "weights.pth")
    assert "run" not in capsys.readouterr().out


def test_a_file_that_is_damaged_or_absent_is_reported(tmp_path: Path) -> None:
    for name in ("weights.pth", "weights.safetensors"):
        with pytest.raises(NoWeights, match=r"there is no such file"):
            unet(tmp_path / name)
        (tmp_path / name).write_bytes(b"PK\3\4 and nothing more")
        with pytest.raises(NoWeights, match=r"is damaged or of another kind"):
            unet(tmp_path / name)


def test_bands_are_for_a_file_and_named_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"imagenet was learnt on red, green, blue; leave it out"):
        unet("imagenet", PLANET)
    with pytest.raises(ConfigError, match=r"model\.encoder_weights=~nobody-here/w\.pth: there is no user"):
        unet("~nobody-here/w.pth")
    torch.save({"w": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"names a band twice"):
        unet(tmp_path / "weights.pth", ["red", "red"])
    node = {"_target_": "segmentation_models_pytorch.Unet", "encoder_name": "resnet18", "encoder_bands": PLANET}
    with pytest.raises(ConfigError, match=r"encoder_weights=PATH, which is null"):
        network.check(node)


@pytest.mark.parametrize(
    ("weights", "is_file"), [("imagenet", False), ("imagenet+5k", False), (None, False), ("w.pth", True),
                             ("s3://b/w", True), ("~/w.bin", True)],
)  # fmt: skip
def test_a_file_is_distinguished_from_the_name_of_a_hub(weights: str | None, is_file: bool) -> None:
    assert (weights_file({"encoder_weights": weights}) is not None) is is_file
