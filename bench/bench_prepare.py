"""`python bench/bench_prepare.py`: speed, memory and size of making tiles, each as a ratio within one run.

rio-tiler is what the tiles are compared with; `thresholding` is compared with a plain numpy-and-rasterio script that
does what the earlier system did (the whole raster as float64, then written).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin

SCENE_PX, DEPTH_PX, ZOOM = 4000, 8000, 15
PLACE = {"crs": "EPSG:32611", "transform": from_origin(280000, 4190000, 3, 3), "tiled": True}
ORIGINAL_S, ORIGINAL_MB, ORIGINAL_PAIR_MB = 28, 2600, 8.9  # the earlier system's, measured once on two cores


def relief(side_px: int, seed: int) -> np.ndarray:
    """Fractal ground, [side_px, side_px] float32 from 0 to 1, so that files compress as imagery does."""
    rng = np.random.default_rng(seed)
    total = np.zeros((side_px, side_px), np.float32)
    for level in range(2, 9):
        coarse = rng.random((side_px >> level, side_px >> level), np.float32)
        total += cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC) * 2.0 ** (level - 9)
    return (total - total.min()) / (total.max() - total.min())


def write_scene(path: Path) -> None:
    rng = np.random.default_rng(0)
    ground = relief(SCENE_PX, 0)
    with rasterio.open(
        path, "w", driver="GTiff", count=4, dtype="uint16", width=SCENE_PX, height=SCENE_PX, nodata=0, **PLACE
    ) as file:
        for band in range(4):
            noise = rng.normal(0, 25, ground.shape)
            file.write((ground * (5000 + 500 * band) + 600 + noise).clip(1, 65535).astype(np.uint16), band + 1)


def write_depth(path: Path) -> None:
    depth = relief(DEPTH_PX, 1) * 3 - 1
    depth[depth < -0.5] = -9999
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype="float32", width=DEPTH_PX, height=DEPTH_PX, nodata=-9999, **PLACE
    ) as file:
        file.write(np.where(depth < 0, np.where(depth < -1, depth, 0), depth).astype(np.float32), 1)


def ours(scene: str, out: str, workers: int) -> dict[str, float]:
    import hydra

    from snowcover.config_root import conf_dir
    from snowcover.prepare import jobs, tiling
    from snowcover.prepare.config import Config
    from snowcover.validation import check

    cv2.setNumThreads(1)
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = check(Config, hydra.compose("prepare", [f"scenes={scene}", f"out={out}", f"zoom={ZOOM}"]))
    job = jobs.scene_job(config, scene, out, None)
    result = tiling.tile(job, workers, overwrite=False)
    largest = max(entry.size_bytes for entry in result.index.tiles)
    return {"seconds": result.seconds, "tiles": result.made, "largest_mb": largest / 1e6}


def rio_tiler(scene: str, out: str, workers: int) -> dict[str, float]:
    """The same tiles by rio-tiler, a reader per thread, written with the same compression."""
    import threading

    from rio_tiler.errors import TileOutsideBounds
    from rio_tiler.io import Reader

    from snowcover.prepare import raster, zoom

    cv2.setNumThreads(1)
    tiles = zoom.candidates(raster.inspect(scene, scene, None).grid, ZOOM)
    own = threading.local()

    def one(tile: tuple[int, int, int]) -> int:
        z, x, y = tile
        if not hasattr(own, "reader"):
            own.env = rasterio.Env(GDAL_NUM_THREADS="1")
            own.env.__enter__()
            own.reader = Reader(scene)
        try:
            image = own.reader.tile(x, y, z, tilesize=512, resampling_method="bilinear", reproject_method="bilinear")
        except TileOutsideBounds:
            return 0
        if np.count_nonzero(image.mask) < 0.05 * 512**2:
            return 0
        path = Path(out) / f"{z}/{x}/{y}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.render(add_mask=False, img_format="GTiff", compress="zstd", zstd_level=1, predictor=2))
        return 1

    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        tiles_made = sum(pool.map(one, tiles))
    return {"seconds": time.perf_counter() - started, "tiles": tiles_made}


def threshold(depth: str, out: str) -> dict[str, float]:
    """From the depth raster to the finished mask.tif, as `prepare` does it."""
    from snowcover.prepare import collect, depths, raster, scan

    started = time.perf_counter()
    found = raster.inspect(depth, depth, None)
    with raster.settings(), raster.opened(depth, found.path) as file:
        rule = collect.Rule(found.pixels.nodata, 0.1, 0, 30)
        rule = depths.recognise(depths.Collect(depth, file, found.pixels), rule)
        scan.threshold(file, found.grid, found.pixels, rule, f"{out}/plain.tif")
        scan.cloud_optimised(f"{out}/plain.tif", f"{out}/mask.tif")
    return {"seconds": time.perf_counter() - started}


def plain_threshold(depth: str, out: str) -> dict[str, float]:
    """The obvious script: everything at once, in float64."""
    started = time.perf_counter()
    with rasterio.open(depth) as file:
        values = file.read(1).astype(np.float64)
        mask = np.where(values >= 0.1, 1, 0)
        with rasterio.open(f"{out}/plain.tif", "w", **{**file.profile, "dtype": "float64"}) as target:
            target.write(mask.astype(np.float64), 1)
    return {"seconds": time.perf_counter() - started}


def measured(name: str, *arguments: object) -> dict[str, float]:
    """The result of a function above in a process of its own, with its peak memory in MB."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, __file__, name, *map(str, arguments), out]
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def peak_mb() -> float:
    """Of this process alone: getrusage would count what its parent held when it was forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        scene, depth = Path(folder) / "scene.tif", Path(folder) / "depth.tif"
        write_scene(scene)
        write_depth(depth)
        for workers in (1, os.cpu_count() or 1):
            theirs, here = measured("rio_tiler", scene, workers), measured("ours", scene, workers)
            tell_tiles(workers, theirs, here)
        tell_threshold(measured("plain_threshold", depth), measured("threshold", depth))


def tell_tiles(workers: int, theirs: dict[str, float], here: dict[str, float]) -> None:
    rates = [found["tiles"] / found["seconds"] for found in (theirs, here)]
    print(
        f"{here['tiles']:.0f} tiles, {workers} workers: rio-tiler {rates[0]:.1f}/s, here {rates[1]:.1f}/s, "
        f"{rates[1] / rates[0]:.1f} times (of processor time {theirs['cpu_s']:.1f} s and {here['cpu_s']:.1f} s); "
        f"{here['peak_mb']:.0f} MB; the largest tile {here['largest_mb']:.2f} MB (a pair was {ORIGINAL_PAIR_MB} MB)"
    )


def tell_threshold(plain: dict[str, float], here: dict[str, float]) -> None:
    print(
        f"threshold {DEPTH_PX} x {DEPTH_PX}: here {here['seconds']:.1f} s and {here['peak_mb']:.0f} MB, a plain script "
        f"{plain['seconds']:.1f} s, {plain['peak_mb']:.0f} MB (the earlier system {ORIGINAL_S} s, {ORIGINAL_MB} MB)"
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        name, *arguments = sys.argv[1:]
        parsed = [int(value) if value.isdigit() else value for value in arguments[:-1]]
        if name in ("ours", "rio_tiler"):
            found = globals()[name](parsed[0], arguments[-1], parsed[1])
        else:
            found = globals()[name](parsed[0], arguments[-1])
        found |= {"peak_mb": peak_mb(), "cpu_s": time.process_time()}
        print(json.dumps(found))
    else:
        main()
