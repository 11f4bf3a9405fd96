"""The mask that a raster file carries with its bands: an alpha band, or an internal mask."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from snowcover.data import geotiff
from snowcover.data.bands import ALPHA


def dataset_mask(uri: str, file: DatasetReader, names: Sequence[str]) -> np.ndarray[Any, Any] | None:
    """[H, W], 0 where the file's own mask says unobserved; None where it has none.

    Args:
        uri: named in errors.
        names: of the file's bands, as `names_in_file` gives them: which of them is alpha.

    Raises:
        BrokenTile
    """
    masks = [geotiff.read(uri, file, number) for number, name in enumerate(names, start=1) if name == ALPHA]
    flags = file.mask_flag_enums[0]
    if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags:  # GDAL calls an alpha band one as well
        try:
            masks.append(file.read_masks(1))
        except RasterioError as error:
            raise geotiff.broken_pixels(uri, error) from error
    if not masks:
        return None
    return np.logical_and.reduce([mask != 0 for mask in masks]).astype(np.uint8)
