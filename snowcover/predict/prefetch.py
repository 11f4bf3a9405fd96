"""Work done ahead by threads, taken in its own order, never more of it at once than is asked for."""

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
    """What the threads make of the items, in the order of the items.

    Each thread enters its opener once and calls what it gives. At most `ahead` items are begun and not taken yet. An
    error of a thread, or of `items`, is raised here in its turn. Closing the iterator ends the threads and `items`.
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
            if thread.is_alive():  # a stop may come before all are started
                thread.join()
        if callable(close := getattr(stage.items, "close", None)):
            close()


def prefetched(items: Iterable[Item], count: int) -> Iterator[Item]:
    """The items, up to `count` of them made in a thread of their own before they are asked for."""
    return in_order([lambda: nullcontext(lambda item: item)], items, count)


class _Stage(Generic[Item, Result]):
    """What the threads of one `in_order` share."""

    def __init__(self, items: Iterator[Item], ahead: int) -> None:
        self.items = items
        self._room = threading.Semaphore(ahead)
        self._one = threading.Lock()
        self._stopped = False
        self._promised: SimpleQueue[Future[Result] | None] = SimpleQueue()

    def work(self, opener: Opener[Item, Result]) -> None:
        try:
            with opener() as make:
                while (taken := self._next()) is not None:
                    item, promise = taken
                    try:
                        promise.set_result(make(item))
                    except BaseException as error:
                        promise.set_exception(error)
        except BaseException as error:  # of opening or closing
            self._fail(error)

    def _next(self) -> tuple[Item, Future[Result]] | None:
        """The next item and the place of what is made of it; None at the end."""
        self._room.acquire()
        with self._one:
            if self._stopped:
                self._room.release()  # for the next thread to see it, too
                return None
            try:
                item = next(self.items)
            except StopIteration:
                self._end(None)
                return None
            except BaseException as error:
                self._end(error)
                return None
            promise: Future[Result] = Future()
            self._promised.put(promise)
            return item, promise

    def _end(self, error: BaseException | None) -> None:
        self._stopped = True
        if error is not None:
            failed: Future[Result] = Future()
            failed.set_exception(error)
            self._promised.put(failed)
        self._promised.put(None)
        self._room.release()

    def _fail(self, error: BaseException) -> None:
        with self._one:
            self._end(error)

    def results(self) -> Iterator[Result]:
        while (promise := self._promised.get()) is not None:
            result = promise.result()
            self._room.release()
            yield result

    def stop(self, threads: int) -> None:
        self._stopped = True
        for _ in range(threads):
            self._room.release()
