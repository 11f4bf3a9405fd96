"""Work done ahead by threads, with results in order and a bounded number of pending items."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Opener = Callable[[], AbstractContextManager[Callable[[Item], Result]]]


def in_order(openers: Sequence[Opener[Item, Result]], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """The threads' results, in the order of the items.

    Each thread enters its opener once and calls what it yields. At most `ahead` items are started and not yet taken. An
    error of a thread, or of `items`, is raised here in order. Closing the iterator ends the threads and `items`.
    """
    stage: _Stage[Item, Result] = _Stage(iter(items), ahead)
    threads = [threading.Thread(target=stage.work, args=(opener,), daemon=True) for opener in openers]
    try:
        for thread in threads:
            thread.start()
        yield from stage.results()
    finally:
        stage.stop(len(threads))
        for thread in threads:
            if thread.is_alive():  # we may be stopped before all are started
                thread.join()
        if callable(close := getattr(stage.items, "close", None)):
            close()


def prefetched(items: Iterable[Item], count: int) -> Iterator[Item]:
    """The items, up to `count` of them produced ahead in a separate thread."""
    return in_order([lambda: nullcontext(lambda item: item)], items, count)


class _Stage(Generic[Item, Result]):
    """What the threads of one `in_order` share."""

    def __init__(self, items: Iterator[Item], ahead: int) -> None:
        self.items = items
        self._room = threading.Semaphore(ahead)
        self._items_lock = threading.Lock()
        self._stopped = False
        self._futures: SimpleQueue[Future[Result] | None] = SimpleQueue()

    def work(self, opener: Opener[Item, Result]) -> None:
        try:
            with opener() as make:
                while (taken := self._next()) is not None:
                    item, future = taken
                    try:
                        future.set_result(make(item))
                    except BaseException as error:
                        future.set_exception(error)
        except BaseException as error:  # of opening or closing
            self._fail(error)

    def _next(self) -> tuple[Item, Future[Result]] | None:
        """The next item and the future of its result; None at the end."""
        self._room.acquire()
        with self._items_lock:
            if self._stopped:
                self._room.release()  # so that the next thread sees it, too
                return None
            try:
                item = next(self.items)
            except StopIteration:
                self._end(None)
                return None
            except BaseException as error:
                self._end(error)
                return None
            future: Future[Result] = Future()
            self._futures.put(future)
            return item, future

    def _end(self, error: BaseException | None) -> None:
        self._stopped = True
        if error is not None:
            failed: Future[Result] = Future()
            failed.set_exception(error)
            self._futures.put(failed)
        self._futures.put(None)
        self._room.release()

    def _fail(self, error: BaseException) -> None:
        with self._items_lock:
            self._end(error)

    def results(self) -> Iterator[Result]:
        while (future := self._futures.get()) is not None:
            result = future.result()
            self._room.release()
            yield result

    def stop(self, threads: int) -> None:
        self._stopped = True
        for _ in range(threads):
            self._room.release()
