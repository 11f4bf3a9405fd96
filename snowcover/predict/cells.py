"""Arrays by row and column, stored in temporary files, one per row: memory does not grow with the scene."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from snowcover import storage
from snowcover.prepare.reprojection import Array


class Cells:
    """Arrays of one shape and type by row and column; any thread may put and get."""

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: Any) -> None:
        self._folder, self._shape, self._dtype = folder, shape, np.dtype(dtype)
        self._bytes = int(np.prod(shape)) * self._dtype.itemsize
        self._rows: dict[int, tuple[int, dict[int, int]]] = {}  # file descriptor, position of each column
        self._lock = threading.Lock()

    def put(self, row: int, column: int, values: Array) -> None:
        """Raises: DiskFull"""
        assert (values.shape, values.dtype) == (self._shape, self._dtype)
        with self._lock:
            file, places = self._rows.get(row) or self._open(row)
            place = len(places)
        try:
            written = os.pwrite(file, np.ascontiguousarray(values).data.cast("B"), place * self._bytes)
            if written != self._bytes:
                raise OSError("no space left")
        except OSError as error:
            raise storage.DiskFull(
                f"A temporary file in {self._folder.parent} could not be written ({error}): free some space, or set "
                "another folder with the environment variable TMPDIR."
            ) from error
        with self._lock:
            places[column] = place

    def _open(self, row: int) -> tuple[int, dict[int, int]]:
        file = os.open(self._folder / str(row), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._rows[row] = file, {}
        return self._rows[row]

    def get(self, row: int, column: int) -> Array | None:
        """None if none was put."""
        with self._lock:
            file, places = self._rows.get(row, (-1, {}))
            place = places.get(column)
        if place is None:
            return None
        values: Array = np.empty(self._shape, self._dtype)
        os.preadv(file, [values.data.cast("B")], place * self._bytes)
        return values

    def discard_before(self, row: int) -> None:
        """Delete the rows above a row; no thread may still read them."""
        with self._lock:
            for old in [known for known in self._rows if known < row]:
                os.close(self._rows.pop(old)[0])
                (self._folder / str(old)).unlink(missing_ok=True)

    def close(self) -> None:
        """Close all files; the caller removes the folder."""
        with self._lock:
            for file, _ in self._rows.values():
                os.close(file)
            self._rows.clear()


@contextmanager
def cells(shape: tuple[int, ...], dtype: Any) -> Iterator[Cells]:
    """A store in a temporary folder (in TMPDIR), which is removed at the end of the block."""
    # It is also removed when Python exits: after a stop, blocks may not be left in order.
    with tempfile.TemporaryDirectory(prefix="snowcover-", ignore_cleanup_errors=True) as folder:
        store = Cells(Path(folder), shape, dtype)
        try:
            yield store
        finally:
            store.close()
