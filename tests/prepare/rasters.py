"""Small real GeoTIFFs for the tests of prepare, and the folder of real data where there is one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
UTM_11N = "EPSG:32611"
TUOLUMNE = Affine(3, 0, 280000, 0, -3, 4190000)  # 3 m pixels at 37.8 N


def shared(name: str) -> Path:
    """A folder or file of the real data, which a user's checkout does not have."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs the real data, which is not in this checkout: {name}")
    return path


def write_raster(
    path: Path,
    values: np.ndarray[Any, Any],
    crs: str | None = UTM_11N,
    transform: Affine = TUOLUMNE,
    nodata: float | None = None,
    names: tuple[str | None, ...] | None = None,
    colours: tuple[str, ...] | None = None,
    scale: float | None = None,
    offset: float = 0,
    unit: str | None = None,
    **options: Any,
) -> Path:
    """[C, H, W] or [H, W] as a GeoTIFF; scale, offset and unit are those of all bands, options are GDAL's."""
    stack = values if values.ndim == 3 else values[None]
    bands, height, width = stack.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=stack.dtype, crs=crs,
        transform=transform, nodata=nodata, **options,
    ) as file:  # fmt: skip
        file.write(stack)
        if names:
            file.descriptions = names
        if colours:
            file.colorinterp = [ColorInterp[colour] for colour in colours]
        if scale is not None:
            file.scales, file.offsets = (scale,) * bands, (offset,) * bands
        if unit:
            file.units = (unit,) * bands
    return path


def write_mask(path: Path, observed: np.ndarray[Any, Any], inside: bool) -> None:
    """Write observed [H, W] bool as the file's own mask: inside it, or next to it as .msk."""
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, "r+") as file:
        file.write_mask(observed)


def imagery(side_px: int = 600, seed: int = 0) -> np.ndarray[Any, Any]:
    """[4, side_px, side_px] uint16, smooth enough to compress, a nodata wedge in one corner."""
    rows, columns = np.mgrid[:side_px, :side_px]
    waves = 3000 + 1500 * np.sin(columns / 37 + seed) + 1000 * np.cos(rows / 23)
    stack = np.stack([waves * (1 + band / 10) for band in range(4)]).astype(np.uint16)
    stack[:, rows + columns < side_px // 3] = 0
    return stack


def depth(side_px: int = 600) -> np.ndarray[Any, Any]:
    """[side_px, side_px] float32 metres from 0 to 2, with NaN, -9999 (the nodata value) and two spots out of range."""
    rows, columns = np.mgrid[:side_px, :side_px]
    metres = (1 + np.sin(columns / 50) * np.cos(rows / 40)).astype(np.float32)
    metres[:40], metres[:, :30] = -9999, np.nan
    metres[-2, -2], metres[-1, -2] = 55, -2
    return metres
