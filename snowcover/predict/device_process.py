"""Networks that map on one of several devices, in a process of its own: one Python cannot keep many GPUs busy."""

import contextlib
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from snowcover.errors import UserError
from snowcover.models.mapper import SnowMapper
from snowcover.predict.members import Conversion, Members
from snowcover.predict.plan import Layout
from snowcover.predict.windows import Window
from snowcover.prepare.reprojection import Array


class LostProcess(UserError):
    """A device's process has ended before its work."""


class _Mapping(NamedTuple):
    """How windows are mapped; the networks are named by when they were sent."""

    networks: tuple[int, ...]
    flips: bool
    layout: Layout
    conversion: Conversion | None


class DeviceProcess:
    """The process of one device; any thread may ask it, one is answered at a time. It ends with this process."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sent: dict[SnowMapper, int] = {}
        self._lock = threading.Lock()
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads, or with CUDA, does not live
        self._connection, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, device), daemon=True)
        process.start()
        theirs.close()  # else its end would not be seen

    def map(
        self, mappers: Sequence[SnowMapper], flips: bool, layout: Layout, conversion: Conversion | None,
        windows: Sequence[Window],
    ) -> list[tuple[Window, Array | None]]:  # fmt: skip
        """What `Members.map` says of the windows.

        Raises:
            LostProcess
            Exception: what mapping raised there.
        """
        with self._lock, self._watched():
            networks = tuple(self._number(mapper) for mapper in mappers)
            self._connection.send((_Mapping(networks, flips, layout, conversion), windows))
            answer = self._connection.recv()
        if isinstance(answer, BaseException):
            raise answer
        return list(zip(windows, answer, strict=True))

    def _number(self, mapper: SnowMapper) -> int:
        if mapper not in self._sent:
            # As bytes: sent as it is, its tensors would lie in shared memory, of which a container has little.
            self._connection.send(pickle.dumps(mapper))
            self._sent[mapper] = len(self._sent)
        return self._sent[mapper]

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise LostProcess(
                f"The process that maps on {self._device} has ended: if this machine's memory was full, map with fewer "
                "networks at once. The same command goes on with what is missing."
            ) from error


@lru_cache
def process_of(device: torch.device) -> DeviceProcess:
    """The one of a device, which serves all scenes."""
    return DeviceProcess(device)


def _serve(connection: Connection, device: torch.device) -> None:
    """Answer until the process that asks has ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C is for the one that asks
    mappers: list[SnowMapper] = []
    last: tuple[_Mapping, Members] | None = None
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            asked = connection.recv()
            if isinstance(asked, bytes):
                mappers.append(pickle.loads(asked))
                continue
            how, windows = asked
            try:
                if last is None or not _same(last[0], how):
                    networks = [mappers[number] for number in how.networks]
                    last = how, Members(networks, how.flips, how.layout, device, how.conversion)
                answer: object = [said for _, said in last[1].map(windows)]
            except Exception as error:
                answer = _portable(error)
            connection.send(answer)


def _same(one: _Mapping, other: _Mapping) -> bool:
    return pickle.dumps(one) == pickle.dumps(other)  # arrays have no equality of their own


def _portable(error: Exception) -> Exception:
    """The error itself where another process can read it, else one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
