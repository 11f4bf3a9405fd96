"""Windows per second of mapping a scene, as shares: `python -m bench.bench_predict`.

Against the bare network on windows that lie in memory, and against the loop that people write: windows of a raster
read with rasterio, the network as it was trained, and sums and weights of the whole scene in numpy. In the same run,
taking turns. Also the memory above the loaded network that scenes of growing size take, in processes of their own.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window
from torch import nn

from snowcover.machine import configure_process
from snowcover.models.mapper import SnowMapper
from snowcover.models.ternausv2 import TernausV2
from snowcover.predict.group import Group, groups_of
from snowcover.predict.mapping import OutputGrid, Tta, map_scene
from snowcover.predict.members import Members, devices
from snowcover.predict.windows import windows as windows_of
from snowcover.prepare.reprojection import Grid
from snowcover.trained_model import TrainedModel

BANDS = ("blue", "green", "red", "nir")
PLACE = Affine(3, 0, 280000, 0, -3, 4190000)
UTM = CRS.from_epsg(32611)


class FileScene:
    """A GeoTIFF whose zeros are unobserved."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.stem
        with rasterio.open(path) as file:
            self.grid = Grid(file.crs, file.transform, file.width, file.height)

    @contextmanager
    def open(self, bands: Sequence[str]) -> Iterator["Opened"]:
        with rasterio.open(self.path) as file:
            yield Opened(self.grid, lambda window: file.read(window=window))

    def conversion(self, model: TrainedModel) -> None:
        return None


class EndlessScene:
    """A scene of any size that takes no memory."""

    name = "endless"

    def __init__(self, side_px: int) -> None:
        self.grid = Grid(UTM, PLACE, side_px, side_px)

    @contextmanager
    def open(self, bands: Sequence[str]) -> Iterator["Opened"]:
        yield Opened(self.grid, lambda window: np.full((4, int(window.height), int(window.width)), 5000, np.uint16))

    def conversion(self, model: TrainedModel) -> None:
        return None


class Opened:
    bands, dtype, nodata, continuous = 4, "uint16", 0.0, True

    def __init__(self, grid: Grid, read: Any) -> None:
        self.grid, self._read = grid, read

    def read(self, window: Window) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        values = self._read(window)
        return np.ascontiguousarray(np.moveaxis(values, 0, 2)), (values != 0).any(axis=0).astype(np.uint8)


def trained(network: nn.Module, tile_size: int) -> TrainedModel:
    mapper = SnowMapper(network, 1e-4, 0, [0.3] * 4, [0.2] * 4).eval()
    return TrainedModel(
        mapper, BANDS, 1e-4, 0, (0.3,) * 4, (0.2,) * 4, 15, tile_size, 0.5, 0, None, None, "", "", None, None
    )  # fmt: skip


def write_scene(path: Path, side_px: int) -> None:
    rows, columns = np.mgrid[:side_px, :side_px]
    waves = 4000 + 2500 * np.sin(columns / 37) * np.cos(rows / 23)
    with rasterio.open(
        path, "w", driver="GTiff", width=side_px, height=side_px, count=4, dtype="uint16", crs=UTM, transform=PLACE,
        nodata=0, tiled=True, compress="deflate",
    ) as file:  # fmt: skip
        file.write(np.stack([waves * (1 + band / 10) for band in range(4)]).astype(np.uint16))


def ours(scene: FileScene, *models: TrainedModel, tta: Tta = "none") -> float:
    """Seconds of a map of the scene."""
    start = time.perf_counter()
    for _ in map_scene(scene, OutputGrid(*scene.grid), models, tta=tta):
        pass
    return time.perf_counter() - start


def mapped_windows(scene: FileScene, group: Group) -> int:
    """How many windows have an observed pixel."""
    assert group.plan is not None
    cut = windows_of(partial(scene.open, BANDS), len(BANDS), "uint16", group.plan, 1)
    return sum(window.raw is not None for window in cut)


def bare(model: TrainedModel, group: Group, windows: int) -> float:
    """Seconds of the network alone, tuned like ours, on as many windows that lie ready."""
    assert group.plan is not None
    side = group.plan.layout.window_px
    members = Members([model.mapper], False, group.plan.layout, devices("auto")[0])
    raw = np.full((1, 4, side, side), 5000, np.uint16)
    members.probabilities(raw)
    start = time.perf_counter()
    for _ in range(windows):
        members.probabilities(raw)
    return time.perf_counter() - start


def several(scene: FileScene, model: TrainedModel, tile: int) -> dict[str, tuple[float, int]]:
    """Seconds of a map by several members together, and how many they are."""
    three = [model, *(trained(TernausV2().eval(), tile) for _ in range(2))]
    return {"three networks": (ours(scene, *three), 3), "tta=d4": (ours(scene, model, tta="d4"), 8)}


def plain_loop(scene: FileScene, model: TrainedModel, side: int, stride: int) -> tuple[float, int]:
    """Seconds and windows of what people write, in the scene's own pixels."""
    height, width = scene.grid.height, scene.grid.width
    total, weights = np.zeros((height, width)), np.zeros((height, width))
    device, windows = devices("auto")[0], 0
    mapper = model.mapper.to(device)
    start = time.perf_counter()
    with rasterio.open(scene.path) as file, torch.no_grad():
        for row in range(0, height, stride):
            for column in range(0, width, stride):
                window = Window(column, row, side, side)
                raw = file.read(window=window, boundless=True, fill_value=0).astype(np.float32)
                said = mapper(torch.from_numpy(raw[None]).to(device))[0].cpu().numpy()
                part = np.s_[row : min(row + side, height), column : min(column + side, width)]
                inside = said[: height - row, : width - column]
                total[part] += np.nan_to_num(inside)
                weights[part] += np.isfinite(inside)
                windows += 1
    with np.errstate(invalid="ignore"):
        total /= weights
    model.mapper.cpu()
    return time.perf_counter() - start, windows


def peak_mb() -> float:
    """Highest memory of this process so far; ru_maxrss would begin with that of the process which started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def memory_mb(side_px: int) -> float:
    """Peak of mapping a scene above that of a tiny one, with a network of one 1 x 1 convolution."""
    configure_process()
    model = trained(nn.Conv2d(4, 1, 1), 512)
    peaks = []
    for side in (700, side_px):
        scene = EndlessScene(side)
        for _ in map_scene(scene, OutputGrid(*scene.grid), [model], device="cpu"):
            pass
        peaks.append(peak_mb())
    return peaks[1] - peaks[0]


def main() -> None:
    """Prints windows per second and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1200, help="of the scene in pixels of 3 m")
    parser.add_argument("--tile", type=int, default=512, help="side of the network's tiles in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", action=argparse.BooleanOptionalAction, default=True, help="several together, too")
    parser.add_argument("--memory-sides", type=int, nargs="*", default=[2000, 4000])
    args = parser.parse_args()
    torch.manual_seed(0)
    configure_process()
    model = trained(TernausV2().eval(), args.tile)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        write_scene(path, args.side)
        scene = FileScene(path)
        (group,) = groups_of(scene, [model], False)
        assert group.plan is not None
        side, windows = group.plan.layout.window_px, mapped_windows(scene, group)
        rates: dict[str, list[float]] = {"ours": [], "bare network": [], "plain loop": []}
        for _ in range(args.rounds):
            rates["ours"].append(windows / ours(scene, model))
            rates["bare network"].append(windows / bare(model, group, windows))
            seconds, count = plain_loop(scene, model, side, args.tile)
            rates["plain loop"].append(count / seconds)
        members = several(scene, model, args.tile) if args.members else {}
    rate = {name: statistics.median(found) for name, found in rates.items()}
    print(f"\nternausv2 on {windows} windows of {side} px, {devices('auto')[0]}, median of {args.rounds}")
    for name, found in rate.items():
        print(f"  {name:15} {found:7.3f} windows/s   ours is {rate['ours'] / found:5.2f} x")
    for name, (seconds, count) in members.items():
        print(f"  {name:15} {seconds:7.1f} s, {seconds * rate['ours'] / windows / count:5.2f} x that of {count} maps")
    for side_px in args.memory_sides:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            print(f"  memory for {side_px:,} x {side_px:,} px: {process.submit(memory_mb, side_px).result():.0f} MB")


if __name__ == "__main__":
    main()
