"""Checkpoints and scenes for the tests of predict, and the command as a user gives it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from affine import Affine

from snowcover.config_root import config_root
from snowcover.data.tiles import Tile, bounds
from snowcover.training import resume
from tests.making import BANDS, config
from tests.predict.networks import Brightness
from tests.prepare.rasters import UTM_11N, write_raster
from tests.starting import Process, finish_process

FOREST_LEVEL, BRIGHT_LEVEL = 0.6, 0.8
TINTS = np.array([-0.06, -0.02, 0.02, 0.06])  # of the bands, relative to a mean reflectance
LEVEL = 0.3  # mean reflectance from which it is snow, to the tests' network
SCALE = 1e-4
ZOOM, TILE_PX = 13, 256  # whose pixels are 15.1 m on the ground in Tuolumne
PLACE = Affine(15, 0, 280000, 0, -15, 4190000)


def write_checkpoint(
    path: Path, bands: Sequence[str] = BANDS, scale: float = SCALE, offset: float = 0.0, steepness: float = 4.0,
    run_id: str | None = None, baselines: bool = False,
) -> Path:  # fmt: skip
    """A checkpoint of a run that says snow where the bands' mean reflectance is above LEVEL; its baselines, where it
    keeps any, say so where it is above FOREST_LEVEL and BRIGHT_LEVEL."""
    named = ",".join(bands)
    chosen = config(
        "data=tiles", f"data.bands=[{named}]", 'data.sources=[{scenes: "s/*", collect: "c"}]',
        f"data.scale={scale}", f"data.offset={offset}",
    )  # fmt: skip
    about = resume.public(chosen)
    about["model"] = {"_target_": "tests.predict.networks.Brightness", "steepness": steepness}
    network = Brightness(len(bands), steepness)
    state = {f"mapper.network.{key}": value for key, value in network.state_dict().items()}
    metadata = {
        "version": "0", "config": about, "bands": list(bands), "scale": scale, "offset": offset,
        "mean": [LEVEL] * len(bands), "std": [0.1] * len(bands), "manifest_digest": "0", "history": [], "steps": [],
        "run_id": run_id, "steps_per_epoch": 1, "zoom": ZOOM, "tile_size": TILE_PX, "commit": "c0ffee",
    }  # fmt: skip
    if baselines:
        metadata |= {"brightness_threshold": BRIGHT_LEVEL, "forest": _forest_of(FOREST_LEVEL)}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": state, "snowcover": metadata}, path)
    return path


def _forest_of(level: float) -> dict[str, torch.Tensor]:
    """A forest, as a run keeps it, of two trees that look at two bands."""
    low, high = level + TINTS[1], level + TINTS[2]
    arrays = {
        "roots": np.array([0, 3], np.int32),
        "next_node": np.array([[1, 2], [1, 1], [2, 2], [4, 5], [4, 4], [5, 5]], np.int32),
        "band": np.array([1, 0, 0, 2, 0, 0], np.int32),
        "threshold": np.array([low, 0, 0, high, 0, 0], np.float32),
        "probability": np.array([0.5, 0.1, 0.9, 0.5, 0.2, 0.8], np.float32),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def reflectance(height: int = 90, width: int = 120, seed: int = 0) -> np.ndarray[Any, Any]:
    """[H, W], from 0.1 to 0.9: smooth, half of it snow."""
    rows, columns = np.mgrid[:height, :width]
    return 0.5 + 0.4 * np.sin(columns / 11 + seed) * np.cos(rows / 17)


def stored(values: np.ndarray[Any, Any], scale: float = SCALE, offset: float = 0.0) -> np.ndarray[Any, Any]:
    """[4, H, W] uint16: four bands around a mean reflectance, a wedge of nodata in one corner."""
    bands = np.rint((values + TINTS[:, None, None] - offset) / scale).clip(1, 65535).astype(np.uint16)
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    bands[:, rows + columns < 30] = 0
    return bands


def write_scene(path: Path, seed: int = 0, **options: Any) -> Path:
    """A scene of 120 x 90 px of 15 m."""
    return write_raster(
        path, stored(reflectance(seed=seed)), crs=UTM_11N, transform=PLACE, nodata=0, names=BANDS, **options
    )


def tile_transform(tile: Tile, size_px: int) -> Affine:
    left, bottom, right, top = bounds(tile)
    return Affine((right - left) / size_px, 0, left, 0, (bottom - top) / size_px, top)


def composed(*overrides: str) -> Any:
    with hydra.initialize_config_dir(str(config_root("predict")), version_base="1.3"):
        return hydra.compose("predict", list(overrides))


def predict(*overrides: str) -> None:
    """The command's task, run here, so that its errors can be caught."""
    from snowcover.predict.__main__ import COMMAND

    COMMAND.task(composed("tracking.system_metrics=false", *overrides))


def start(folder: Path, *arguments: str) -> Process:
    """The command in a process of its own, in `folder`."""
    return Process("snowcover.predict", folder, "tracking.system_metrics=false", *arguments)


def finish(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of the command."""
    return finish_process(start(folder, *arguments))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
