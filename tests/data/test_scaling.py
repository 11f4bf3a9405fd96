"""What files say of scale and offset is never thrown away, and a reflectance that no ground has is told."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import nn

from snowcover.data.dataset import TileDataset, load_dataset
from snowcover.data.scaling import WrongScaling
from snowcover.data.tiles import Tile
from snowcover.models.mapper import SnowMapper
from tests.making import config, snowy, sources, write_tile

LANDSAT = (2.75e-05, -0.2)


def write_site(root: Path, scaling: tuple[float, float] = (1, 0), last: tuple[float, float] | None = None) -> Path:
    """16 pairs; the last image's file says something else where it is to."""
    for index in range(16):
        tile = Tile(15, 5500 + index // 4, 12600 + index % 4)
        image, mask = snowy(index, size=32)
        said = last if last is not None and index == 15 else scaling
        write_tile(root / "scenes/20180528_a", tile, image, scaling=said)
        write_tile(root / "masks/ASO_20180528", tile, mask, nodata=255)
    return root


def gathered(root: Path, *overrides: str) -> TileDataset:
    return load_dataset(config("data=tiles", sources(root), "hw.data_workers=1", *overrides))


@pytest.mark.slow
def test_tags_that_the_config_contradicts_are_refused_with_the_keys_to_give(tmp_path: Path) -> None:
    write_site(tmp_path, LANDSAT)
    with pytest.raises(WrongScaling, match=r"12600\.tif says that its numbers are of scale 2\.75e-05 and") as failure:
        gathered(tmp_path)
    assert "give data.scale=2.75e-05 data.offset=-0.2" in str(failure.value)
    found = gathered(tmp_path, "data.scale=2.75e-05", "data.offset=-0.2")
    plain = gathered(write_site(tmp_path / "plain"), "data.scale=1")
    np.testing.assert_allclose(found.statistics.mean, np.array(plain.statistics.mean) * LANDSAT[0] + LANDSAT[1])
    np.testing.assert_allclose(found.statistics.std, np.array(plain.statistics.std) * LANDSAT[0])


def test_tags_that_say_what_the_config_says_are_taken(tmp_path: Path) -> None:
    assert gathered(write_site(tmp_path, (0.0001, 0))).notes == ()


@pytest.mark.parametrize("last", [(1e-3, 0), (1, 0), (1e-4, 0.1)])
def test_tiles_of_different_scale_are_refused_by_name(tmp_path: Path, last: tuple[float, float]) -> None:
    with pytest.raises(
        WrongScaling, match=r"5503/12603\.tif tells of .*, .*5500/12600\.tif of scale 0\.0001 and offset 0"
    ):
        gathered(write_site(tmp_path, (1e-4, 0), last))


@pytest.mark.parametrize("scale", [0, -1e-4, np.nan])
def test_a_scale_that_is_none_is_refused(tmp_path: Path, scale: float) -> None:
    with pytest.raises(WrongScaling, match=rf"says that it is of scale {scale:g} and offset 0: correct the file"):
        gathered(write_site(tmp_path, (scale, 0)))


def test_bands_of_different_scale_are_refused(tmp_path: Path) -> None:

    write_site(tmp_path)
    with rasterio.open(tmp_path / "scenes/20180528_a/15/5500/12600.tif", "r+") as file:
        file.scales = [1e-4, 1e-4, 1e-4, 2e-4]
    with pytest.raises(WrongScaling, match=r"12600\.tif has bands of scale 0\.0001 and offset 0 and scale 0\.0002"):
        gathered(tmp_path)


@pytest.mark.parametrize(
    ("scale", "likely"), [("1", "data.scale=0.0001 would make it 0.4"), ("1e-7", "data.scale=0.0001 would make it 0.4")]
)
def test_a_reflectance_that_no_ground_has_is_reported_with_the_likely_scale(
    tmp_path: Path, scale: str, likely: str
) -> None:
    (note,) = gathered(write_site(tmp_path), f"data.scale={scale}").notes
    assert note.startswith("The mean reflectance of the training tiles is")
    assert likely in note
    assert gathered(tmp_path).notes == ()


def test_a_reflectance_of_8_bit_and_of_a_wrong_offset_is_warned_of(tmp_path: Path) -> None:
    write_site(tmp_path)
    (note,) = gathered(tmp_path, "data.offset=-5").notes
    assert "data.scale=0.0001 data.offset=-5 are likely wrong." in note
    for file in sorted(tmp_path.rglob("scenes/**/*.tif")):
        with rasterio.open(file) as source:
            image = (source.read() // 64).astype(np.uint8)
        tile = Tile(*map(int, (file.parent.parent.name, file.parent.name, file.stem)))
        names = ("blue", "green", "red", "nir")
        write_tile(tmp_path / "scenes/20180528_a", tile, image, descriptions=names)
    (note,) = gathered(tmp_path).notes
    assert "data.scale=0.00392157 would make it 0.2" in note


def test_the_offset_reaches_the_network_and_unobserved_ground_stays_the_mean() -> None:
    class Same(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :1]

    mapper = SnowMapper(Same(), *LANDSAT, [0.3], [0.1])
    raw = torch.tensor([[[[20000.0, 0.0]]]])
    np.testing.assert_allclose(mapper.logits(raw)[0, 0, 0].numpy(), [(20000 * 2.75e-5 - 0.2 - 0.3) / 0.1, 0], rtol=1e-5)
    assert set(mapper.state_dict()) >= {"scale", "offset", "mean", "std"}
