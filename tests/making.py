"""Tiny real tiles and configs for tests."""

import copy
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import rasterio
from omegaconf import DictConfig, open_dict
from rasterio.transform import from_bounds

from snowcover.config import Config
from snowcover.config_root import conf_dir
from snowcover.data.manifest import Pair
from snowcover.data.tiles import Tile, bounds, path
from snowcover.validation import check

BANDS = ("blue", "green", "red", "nir")
SNOW = np.array([6400, 4700, 7000, 6800])
BARE = np.array([1300, 1500, 1800, 2500])
TINY_UNET = ("model=unet", "model.encoder_name=tu-test_resnet", "+model.decoder_channels=[32,16,16,8,8]")
QUICK = ("trainer.forest=false", "tracking.export_model=false")  # of a run whose baselines and model are not looked at


def compose(*overrides: str) -> DictConfig:
    """What the command hands to training: without the nodes that are the launcher's."""
    composed = copy.deepcopy(_composed(str(conf_dir()), *overrides))
    with open_dict(composed):
        for of_the_launcher in ("aws", "launch"):
            composed.pop(of_the_launcher)
    return composed


@functools.cache  # a quarter of a second each, and half of them are wanted again
def _composed(folder: str, *overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(folder, version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides))


def config(*overrides: str) -> Config:
    return check(Config, compose(*overrides))


def write_tile(
    folder: Path,
    tile: Tile,
    values: np.ndarray[Any, Any],
    nodata: float | None = 0,
    descriptions: Sequence[str | None] = (),
    *,
    ending: str = ".tif",
    scaling: tuple[float, float] = (1, 0),
    internal_mask: np.ndarray[Any, Any] | None = None,
    **profile: Any,
) -> Path:
    """A GeoTIFF of values [bands, H, W] at its place under a scene or collect.

    Args:
        scaling: scale and offset that the file tells of all its bands.
        internal_mask: [H, W], 0 where the file itself says that nothing is observed.
        profile: what else rasterio is to write, such as crs, transform or photometric.
    """
    file = folder / path(tile).replace(".tif", ending)
    file.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    place = {"crs": "EPSG:3857", "transform": from_bounds(*bounds(tile), width, height)}
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    written = {"driver": "GTiff", "nodata": nodata, "compress": "deflate", **shape, **place, **profile}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(file, "w", **written) as out:
        out.write(values)
        for number, name in enumerate(descriptions, start=1):
            out.set_band_description(number, name)
        if scaling != (1, 0):
            out.scales, out.offsets = [scaling[0]] * count, [scaling[1]] * count
        if internal_mask is not None:
            out.write_mask(internal_mask != 0)
    return file


def pair_of(image: Path, mask: Path, tile: Tile) -> Pair:
    """The two files as they would be listed."""
    return Pair("scene", *tile, "collect", "", str(image), str(mask), image.stat().st_size, mask.stat().st_size)


def snowy(seed: int, size: int = 64, unobserved: bool = True) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Image [4, size, size] uint16 and mask [1, size, size] uint8: a bright snowfield with a slanted edge."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    snow = rows + columns * rng.uniform(-1, 1) > size * rng.uniform(0.3, 0.7)
    noise = rng.normal(1, 0.1, (1, size, size))
    image = (np.where(snow, SNOW[:, None, None], BARE[:, None, None]) * noise).clip(1, 65535).astype(np.uint16)
    mask = snow[None].astype(np.uint8)
    if unobserved:
        image[:, :3, :5] = 0
        mask[:, -4:, -6:] = 255
    return image, mask


def write_site(root: Path, side: int = 4, scenes: Sequence[str] = ("20180528_a", "20180528_b"), size: int = 64) -> Path:
    """side x side tiles: every scene sees all of the ground, one collect has all of the masks."""
    for index in range(side * side):
        tile = Tile(15, 5500 + index // side, 12600 + index % side)
        for number, scene in enumerate(scenes):
            image, mask = snowy(1000 * number + index, size)
            write_tile(root / "scenes" / scene, tile, image)
        write_tile(root / "masks" / "ASO_20180528", tile, mask, nodata=255)
    return root


def sources(root: Path | str) -> str:
    """The override that names a site's tiles."""
    return f'data.sources=[{{scenes: "{root}/scenes/*", collect: "{root}/masks/ASO_20180528"}}]'
