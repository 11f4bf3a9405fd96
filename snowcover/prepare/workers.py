"""Processes many items in several threads, each with files that it opened itself."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from queue import Empty, SimpleQueue
from typing import TypeVar

from snowcover.data import gdal_warnings
from snowcover.prepare import raster

Item = TypeVar("Item")
Result = TypeVar("Result")
Opener = Callable[[], AbstractContextManager[Callable[[Item], Result]]]


def in_threads(opener: Opener[Item, Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """The threads' results, in the order in which they are done.

    Each thread enters `opener()` once and calls what it yields, for GDAL handles must not be shared. GDAL, OpenCV and
    zlib release Python's GIL. The first error of a thread is raised here, after the others have stopped.
    """
    todo: SimpleQueue[Item] = SimpleQueue()
    done: SimpleQueue[Result | _Ended] = SimpleQueue()
    for item in items:
        todo.put(item)
    stop = threading.Event()
    threads = [
        threading.Thread(target=_drain, args=(opener, todo, done, stop), daemon=True)
        for _ in range(max(1, min(workers, len(items))))
    ]
    for thread in threads:
        thread.start()
    try:
        yield from _until_all_ended(done, len(threads))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class _Ended:
    """The end of a thread, with its error if it had one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def _until_all_ended(done: "SimpleQueue[Result | _Ended]", threads: int) -> Iterator[Result]:
    while threads:
        made = done.get()
        if not isinstance(made, _Ended):
            yield made
        elif made.error is not None:
            raise made.error
        else:
            threads -= 1


def _drain(
    opener: Opener[Item, Result], todo: "SimpleQueue[Item]", done: "SimpleQueue[Result | _Ended]", stop: threading.Event
) -> None:
    error = None
    try:
        with raster.settings(), gdal_warnings.taken(), opener() as work:
            while not stop.is_set():
                done.put(work(todo.get_nowait()))
    except Empty:
        pass
    except BaseException as problem:
        error = problem
    done.put(_Ended(error))
