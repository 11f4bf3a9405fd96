"""How fast tiles are listed and read from S3, beside the original's way: `python -m bench.bench_storage`.

Against a real S3 server on this machine; reading goes through a proxy that adds 40 ms to each request, as a
bucket some way off would. All figures of one table are from one run: read them as ratios.
"""

import multiprocessing
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.io import MemoryFile

from snowcover import storage
from tests.servers import AWS_SETTINGS, Proxy, Server, seaweedfs

COLUMNS, ROWS = 60, 50  # 3,000 tiles in 60 folders a tree
DELAY_S = 0.040
WORKERS = 2
IN_FLIGHT = 8  # GETs at a time in each worker
PAIRS_NEW, PAIRS_ORIGINAL = 300, 40  # some seconds each
BUCKET = "bench"
Pair = tuple[str, str]


def main() -> None:
    """Prints both tables."""
    with tempfile.TemporaryDirectory() as folder, seaweedfs(Path(folder)) as server:
        server.client.create_bucket(Bucket=BUCKET)
        _bench_listing(server)
        _bench_reading(server)


def _bench_listing(server: Server) -> None:
    trees = ["list/20180528_a_tiled", "list/ASO_3M_SD_USCATE_20180528"]
    _use(server, server.endpoint)
    _write_all(
        {f"s3://{BUCKET}/{tree}/15/{x}/{y}.tif": b"" for tree in trees for x in range(COLUMNS) for y in range(ROWS)}
    )
    with _proxy(server, delay_s=0) as (endpoint, count):
        _use(server, endpoint)
        results = {
            "a request per folder (the original went thrice)": _timed(lambda: _list_by_folder(trees), count),
            "flat, paged": _timed(lambda: [storage.list_files(f"s3://{BUCKET}/{tree}") for tree in trees], count),
        }
    print(f"\nListing {COLUMNS * ROWS:,} pairs")
    for name, (seconds, requests) in results.items():
        print(f"  {name:50} {requests:5} requests {seconds:7.2f} s")
    (old_s, old_requests), (new_s, new_requests) = results.values()
    print(f"  {'ratio':50} {old_requests / new_requests:5.0f} x        {old_s / new_s:7.1f} x")


def _list_by_folder(trees: list[str]) -> None:
    client = storage.s3_connection.client()
    for tree in trees:
        answer = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{tree}/15/", Delimiter="/")
        for folder in answer["CommonPrefixes"]:
            client.list_objects_v2(Bucket=BUCKET, Prefix=folder["Prefix"])


def _bench_reading(server: Server) -> None:
    _use(server, server.endpoint)
    pairs = _write_pairs(PAIRS_NEW)
    with _proxy(server, DELAY_S) as (endpoint, count):
        _use(server, endpoint)
        storage.read(pairs[0][0])  # connections and imports are paid for once a run, not per tile
        _original_pair(pairs[-1])
        results = {
            "/vsis3, a session and two opens per pair": (
                PAIRS_ORIGINAL,
                *_timed(lambda: _in_workers(_read_as_the_original, pairs[:PAIRS_ORIGINAL]), count),
            ),
            f"one GET per file, {IN_FLIGHT} in flight per worker": (
                PAIRS_NEW,
                *_timed(lambda: _in_workers(_read_ahead_and_decode, pairs), count),
            ),
        }
    print(f"\nReading pairs (2.1 MB + mask), {WORKERS} workers, {DELAY_S * 1000:.0f} ms added to each request")
    for name, (read, seconds, requests) in results.items():
        print(f"  {name:50} {requests / read:5.1f} requests a pair {read / seconds:7.1f} pairs/s")
    (old, old_s, _), (new, new_s, _) = results.values()
    print(f"  {'ratio':50} {'':21} {(new / new_s) / (old / old_s):7.1f} x")


def _in_workers(read: Callable[[list[Pair]], None], pairs: list[Pair]) -> None:
    with ThreadPoolExecutor(WORKERS) as workers:
        list(workers.map(read, [pairs[i::WORKERS] for i in range(WORKERS)]))


def _read_as_the_original(pairs: list[Pair]) -> None:
    for pair in pairs:
        _original_pair(pair)


def _original_pair(pair: Pair) -> None:
    import botocore.session

    botocore.session.Session().get_credentials()
    for uri in pair:
        with rasterio.open(uri.replace("s3://", "/vsis3/")) as tile:
            tile.read()


def _read_ahead_and_decode(pairs: list[Pair]) -> None:
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        for content in _ahead([uri for pair in pairs for uri in pair]):
            with MemoryFile(content) as memory, memory.open() as tile:
                tile.read()


def _ahead(uris: list[str]) -> Iterator[bytes]:
    """The files in order, the next IN_FLIGHT of them always under way."""
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        waiting = deque(threads.submit(storage.read, uri) for uri in uris[:IN_FLIGHT])
        for uri in [*uris[IN_FLIGHT:], *[None] * len(waiting)]:
            yield waiting.popleft().result()
            if uri is not None:
                waiting.append(threads.submit(storage.read, uri))


def _write_pairs(count: int) -> list[Pair]:
    """Writes real tiles, each in a folder of its own as its neighbours in a shuffled epoch are; returns their uris."""
    random = np.random.default_rng(0)
    image = _tile(random.integers(0, 10_000, (4, 512, 512), dtype="uint16"))
    mask = _tile(
        random.integers(0, 2, (1, 64, 64), dtype="uint8").repeat(8, axis=1).repeat(8, axis=2), compress="deflate"
    )
    pairs = [(f"s3://{BUCKET}/scene/15/{x}/0.tif", f"s3://{BUCKET}/collect/15/{x}/0.tif") for x in range(count)]
    _write_all({uri: content for pair in pairs for uri, content in zip(pair, (image, mask), strict=True)})
    return pairs


def _tile(pixels: np.ndarray[Any, Any], **options: str) -> bytes:
    bands, height, width = pixels.shape
    where = {"crs": "EPSG:3857", "transform": rasterio.Affine(2.389, 0, 0, 0, -2.389, 0)}  # metres, zoom 15
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", count=bands, height=height, width=width, dtype=pixels.dtype, **where, **options
        ) as tile:
            tile.write(pixels)
        content: bytes = memory.read()
    return content


def _write_all(files: dict[str, bytes]) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(storage.write, files.keys(), files.values()))


def _timed(action: Callable[[], object], count: Callable[[], int]) -> tuple[float, int]:
    """Seconds and requests that `action` took."""
    storage.forget_connections()
    before, start = count(), time.perf_counter()
    action()
    return time.perf_counter() - start, count() - before


def _use(server: Server, endpoint: str) -> None:
    """Points the AWS settings, and GDAL's own, at `endpoint`."""
    for name in AWS_SETTINGS:
        os.environ.pop(name, None)
    os.environ.update(
        AWS_ENDPOINT_URL=endpoint,
        AWS_ACCESS_KEY_ID=server.key,
        AWS_SECRET_ACCESS_KEY=server.secret,
        AWS_REGION="us-east-1",
        AWS_S3_ENDPOINT=endpoint.removeprefix("http://"),
        AWS_HTTPS="NO",
        AWS_VIRTUAL_HOSTING="FALSE",
    )
    storage.forget_connections()


@contextmanager
def _proxy(server: Server, delay_s: float) -> Iterator[tuple[str, Callable[[], int]]]:
    """A proxy in a process of its own, so that it does not hold up the code it measures: endpoint and counter."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(server.endpoint, delay_s, there), daemon=True)
    process.start()

    def count() -> int:
        here.send("count")
        requests: int = here.recv()
        return requests

    yield here.recv(), count
    process.kill()
    process.join()


def _serve(upstream: str, delay_s: float, asked: "Connection[Any, Any]") -> None:
    proxy = Proxy(upstream, delay_s)
    asked.send(proxy.endpoint)
    while asked.recv() == "count":
        asked.send(len(proxy.requests))


if __name__ == "__main__":
    main()
