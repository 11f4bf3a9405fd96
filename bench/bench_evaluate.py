"""Pixels of a reference scored per second, as a share of plain NumPy on whole arrays: `python -m bench.bench_evaluate`.

Two maps of probabilities against lidar depth with canopy and elevation, all strata, intervals and figures' sums, from
files. The plain script reads the same files whole, and counts the same strata with a mask and four sums for each bin of
each product, without blocks and so without intervals. In the same run, in processes of their own; also the memory.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from scipy import ndimage

MIB_PER_MAXRSS = 1 / 1024 if sys.platform == "linux" else 1 / 2**20
EDGES = {  # of the strata's bins, as the command's
    "canopy": (0, 0.5, 2, 5, 10, 20, np.inf), "elevation": tuple(range(1900, 3200, 100)),
    "slope": (0, 10, 20, 30, 40, np.inf), "aspect": tuple(range(0, 361, 45)), "light": (-1, 0, 0.25, 0.5, 0.75, 1.01),
    "depth": (0, 0.1, 0.2, 0.5, 1, np.inf), "snow edge": (0, 3, 6, 15, np.inf),
    "canopy edge": (0, 3, 6, 10, 15, 27, np.inf),
}  # fmt: skip


def write_site(folder: Path, side_px: int) -> None:
    """lidar.tif, canopy.tif, elevation.tif and two maps, of pixels of 3 m."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(side_px // 50 + 2,) * 2).astype(np.float32)
    hills = ndimage.zoom(coarse, 50, order=1)[:side_px, :side_px]
    noise = rng.normal(size=hills.shape).astype(np.float32)
    depth = np.where(hills < -1.5, np.nan, np.clip(hills + 0.1 * noise, 0, None))
    _write(folder / "lidar.tif", depth.astype(np.float32), np.nan)
    _write(folder / "elevation.tif", 2500 + 200 * hills, -9999)
    _write(folder / "canopy.tif", np.clip(10 * np.roll(hills, 777, 0), 0, None), -9999)
    for name, error in (("a", 0.3), ("b", 0.6)):
        steps = np.rint(np.clip(0.5 + hills / 2 + error * noise, 0, 1) * 200)
        _write(folder / f"{name}_probability.tif", steps.astype(np.uint8), 255)


def _write(path: Path, values: np.ndarray, nodata: float) -> None:
    height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=values.dtype, nodata=nodata, width=width, height=height,
        crs="EPSG:32611", transform=Affine(3, 0, 280000, 0, -3, 4190000), tiled=True, blockxsize=512, blockysize=512,
        compress="deflate", zlevel=1,
    ) as file:  # fmt: skip
        file.write(values, 1)
        if values.dtype == np.uint8:
            file.scales = (0.005,)


def by_command(folder: str) -> None:
    import hydra

    from snowcover.cli import without_nodes
    from snowcover.config_root import config_root
    from snowcover.evaluate.config import Config
    from snowcover.evaluate.pipeline import evaluate_maps
    from snowcover.validation import check

    overrides = [
        "out=report", f"maps={{a: {folder}/a_probability.tif, b: {folder}/b_probability.tif}}",
        f"reference={folder}/lidar.tif", f"canopy_height={folder}/canopy.tif", f"elevation={folder}/elevation.tif",
        "acquired=2018-05-28T18:11:10Z",
    ]  # fmt: skip
    with hydra.initialize_config_dir(str(config_root("evaluate")), version_base="1.3"):
        config = check(Config, without_nodes(hydra.compose("evaluate", overrides), "hydra"))
    evaluate_maps(config)


def by_plain_numpy(folder: str) -> None:
    def read(name: str) -> np.ndarray:
        with rasterio.open(f"{folder}/{name}.tif") as file:
            return file.read(1)

    depth, elevation, canopy = read("lidar"), read("elevation"), read("canopy")
    maps = [read(f"{name}_probability") for name in "ab"]
    common = ~np.isnan(depth) & (maps[0] != 255) & (maps[1] != 255)
    snow = depth >= 0.1
    down, across = np.gradient(elevation, 3)
    slope = np.degrees(np.arctan(np.hypot(down, across)))
    aspect = np.degrees(np.arctan2(-across, down)) % 360
    radians = np.radians(slope)
    light = np.cos(radians) * np.cos(0.5) + np.sin(radians) * np.sin(0.5) * np.cos(np.radians(aspect) - 2)
    values = {
        "canopy": canopy, "elevation": elevation, "slope": slope, "aspect": aspect, "light": light, "depth": depth,
        "snow edge": 3 * np.where(snow, ndimage.distance_transform_edt(snow), ndimage.distance_transform_edt(~snow)),
        "canopy edge": 3 * ndimage.distance_transform_edt(canopy < 2),
    }  # fmt: skip
    for name, value in values.items():
        for low, high in zip(EDGES[name][:-1], EDGES[name][1:], strict=True):
            where = common & (value >= low) & (value < high)
            for one in maps:
                said = one >= 100
                [np.count_nonzero(cell & where) for cell in (snow & said, ~snow & said, snow & ~said, ~snow & ~said)]


def measured(work: Callable[[str], None], folder: str) -> tuple[float, float]:
    """Seconds and MiB at most."""
    started = time.monotonic()
    work(folder)
    return time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MIB_PER_MAXRSS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, default=9)
    side_px = round((parser.parse_args().megapixels * 1e6) ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        write_site(Path(folder), side_px)
        found = {}
        for work in (by_command, by_plain_numpy):
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found[work] = pool.submit(measured, work, folder).result()
    for work, (seconds, mib) in found.items():
        print(f"{work.__name__:16} {side_px**2 / 1e6 / seconds:6.2f} Mpx/s  {seconds:6.1f} s  {mib:6.0f} MiB")
    print(f"time as a share of plain NumPy's: {found[by_command][0] / found[by_plain_numpy][0]:.2f}")


if __name__ == "__main__":
    main()
