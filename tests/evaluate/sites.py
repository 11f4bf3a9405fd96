"""A small valley of real GeoTIFFs: lidar depth, canopy, elevation, and maps that err in known ways."""

from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine

from snowcover.evaluate.config import Config
from snowcover.evaluate.pipeline import evaluate_maps
from snowcover.evaluate.results import Evaluation
from tests.evaluate.test_config import config
from tests.prepare.rasters import write_raster

PLACE = Affine(10, 0, 280000, 0, -10, 4190000)
HEIGHT, WIDTH = 120, 160
DATE = "20180528"


def elevation() -> np.ndarray[Any, Any]:
    """[H, W], from 2,000 m in the south-west up to the north-east."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (2000 + 4.0 * (HEIGHT - rows) + 1.5 * columns).astype(np.float32)


def depth(seed: int = 0) -> np.ndarray[Any, Any]:
    """[H, W] in metres, more above 2,350 m; NaN in a corner."""
    rng = np.random.default_rng(seed)
    found = np.clip((elevation() - 2350) / 200 + rng.normal(0, 0.15, (HEIGHT, WIDTH)), 0, 3).astype(np.float32)
    found[:15, :20] = np.nan
    return found


def write_site(root: Path) -> Path:
    """ASO_20180528.tif, chm.tif, dem.tif, and two maps in the reference's grid."""
    rng = np.random.default_rng(1)
    deep = depth()
    write_raster(root / f"ASO_{DATE}.tif", deep, transform=PLACE, nodata=np.nan)
    write_raster(root / "dem.tif", elevation(), transform=PLACE, nodata=-9999)
    canopy = np.where(rng.random((HEIGHT, WIDTH)) < 0.5, rng.random((HEIGHT, WIDTH)) * 20, 0).astype(np.float32)
    write_raster(root / "chm.tif", canopy, transform=PLACE)
    snow = np.nan_to_num(deep) >= 0.1
    for name, errors in (("network", 0.05), ("forest", 0.15)):
        wrong = rng.random(snow.shape) < errors
        probability = np.clip(np.where(snow ^ wrong, 0.8, 0.2) + rng.normal(0, 0.1, snow.shape), 0, 1)
        stored = np.rint(probability * 200).astype(np.uint8)
        stored[-8:, :30] = 255
        write_raster(
            root / f"{DATE}_181110_{name}_probability.tif", stored, transform=PLACE, nodata=255, scale=0.005,
            names=("probability of snow",),
        )  # fmt: skip
    return root


def maps(root: Path, *names: str) -> str:
    listed = ", ".join(f"{name}: {root}/{DATE}_181110_{name}_probability.tif" for name in names)
    return f"maps={{{listed}}}"


def chosen(root: Path, *overrides: str) -> Config:
    return config(f"reference={root}/ASO_{DATE}.tif", "draws=200", "block_m=200", *overrides)


def evaluated(root: Path, *overrides: str) -> Evaluation:
    return evaluate_maps(chosen(root, *overrides))[0]
