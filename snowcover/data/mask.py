"""A mask tile: from what its file holds to 1 snow, 0 no snow, 255 unobserved."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.io import DatasetReader

from snowcover.data import geotiff
from snowcover.data.observed import observed
from snowcover.data.raster_mask import dataset_mask
from snowcover.errors import UserError
from snowcover.labels import BARE, SNOW, UNOBSERVED


class WrongMask(UserError):
    """A mask tile holds something other than snow, no snow and unobserved."""


@dataclass(frozen=True)
class Mask:
    """The labels of a tile."""

    values: np.ndarray[Any, Any]
    """[H, W] uint8: 1 snow, 0 no snow, 255 unobserved"""
    has_snow: bool
    has_untagged_255: bool
    """255 is in it, and nothing in the file says that it is unobserved"""


def read_mask(uri: str, file: DatasetReader) -> Mask:
    """The labels in an open mask tile.

    Raises:
        WrongMask: several bands, other values, scaled numbers, or a nodata value that is a label.
        BrokenTile
    """
    _refuse_other_files(uri, file)
    stored = geotiff.read(uri, file, 1)  # [H, W]
    known = observed([stored], file.nodata, dataset_mask(uri, file, ("",)))
    values = np.full(stored.shape, UNOBSERVED, np.uint8)
    for value in (SNOW, BARE):
        values[known & (stored == value)] = value
    said_255 = known & (stored == UNOBSERVED)
    odd = known & (values == UNOBSERVED) & ~said_255
    if odd.any():
        raise WrongMask(
            f"{uri} holds the value {stored[odd].flat[0]}; a mask holds 1 snow, 0 no snow, 255 or its nodata "
            "value for unobserved: tile the mask, not the depth."
        )
    return Mask(values, bool((values == SNOW).any()), bool(said_255.any()))


def _refuse_other_files(uri: str, file: DatasetReader) -> None:
    if file.count != 1:
        raise WrongMask(f"{uri} has {file.count} bands; a mask has one: 1 snow, 0 no snow, 255 unobserved.")
    if file.nodata in (SNOW, BARE):
        means = "snow" if file.nodata == SNOW else "no snow"
        raise WrongMask(
            f"{uri} says that {file.nodata:g} is nodata, which in a mask means {means}: let unobserved ground and the "
            f"nodata tag be 255 (gdal_edit.py -a_nodata 255 {uri}, where nothing is unobserved)."
        )
    if (file.scales[0], file.offsets[0]) != (1, 0):
        raise WrongMask(
            f"{uri} has a scale of {file.scales[0]:g} and an offset of {file.offsets[0]:g}; a mask holds 1 snow, 0 no "
            "snow, 255 unobserved as they are: tile the mask, not the depth."
        )
