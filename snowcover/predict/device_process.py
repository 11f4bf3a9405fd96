"""Runs networks on one of several devices in its own process: one Python process cannot keep many GPUs busy."""

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


class DeviceProcessEnded(UserError):
    """A device's process ended before its work was done."""


class _Mapping(NamedTuple):
    """How windows are mapped; networks are numbered in the order in which they were sent."""

    networks: tuple[int, ...]
    flips: bool
    layout: Layout
    conversion: Conversion | None


class DeviceProcess:
    """The process of one device; threads take turns in calling it. It ends with this process."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sent: dict[SnowMapper, int] = {}
        self._lock = threading.Lock()
        context = multiprocessing.get_context("spawn")  # forking a process with threads or CUDA is unsafe
        self._connection, child_connection = context.Pipe()
        process = context.Process(target=_serve, args=(child_connection, device), daemon=True)
        process.start()
        child_connection.close()  # else the end of the child would go unnoticed

    def map(
        self, mappers: Sequence[SnowMapper], flips: bool, layout: Layout, conversion: Conversion | None,
        windows: Sequence[Window],
    ) -> list[tuple[Window, Array | None]]:  # fmt: skip
        """The result of `Members.map` for the windows.

        Raises:
            DeviceProcessEnded
            Exception: what mapping raised in that process.
        """
        with self._lock, self._watched():
            networks = tuple(self._number(mapper) for mapper in mappers)
            self._connection.send((_Mapping(networks, flips, layout, conversion), windows))
            reply = self._connection.recv()
        if isinstance(reply, BaseException):
            raise reply
        return list(zip(windows, reply, strict=True))

    def _number(self, mapper: SnowMapper) -> int:
        if mapper not in self._sent:
            # As bytes: otherwise its tensors would be put in shared memory, of which a container has little.
            self._connection.send(pickle.dumps(mapper))
            self._sent[mapper] = len(self._sent)
        return self._sent[mapper]

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise DeviceProcessEnded(
                f"The process that maps on {self._device} has ended: if this machine ran out of memory, map with fewer "
                "networks at once. The same command makes only the missing maps."
            ) from error


@lru_cache
def process_of(device: torch.device) -> DeviceProcess:
    """The process of a device, shared by all scenes."""
    return DeviceProcess(device)


def _serve(connection: Connection, device: torch.device) -> None:
    """Answer requests until the parent process ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal's Ctrl-C is handled by the parent
    mappers: list[SnowMapper] = []
    last: tuple[_Mapping, Members] | None = None
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            request = connection.recv()
            if isinstance(request, bytes):
                mappers.append(pickle.loads(request))
                continue
            how, windows = request
            try:
                if last is None or not _same(last[0], how):
                    networks = [mappers[number] for number in how.networks]
                    last = how, Members(networks, how.flips, how.layout, device, how.conversion)
                reply: object = [prediction for _, prediction in last[1].map(windows)]
            except Exception as error:
                reply = _portable(error)
            connection.send(reply)


def _same(first: _Mapping, other: _Mapping) -> bool:
    return pickle.dumps(first) == pickle.dumps(other)  # arrays do not compare to a single bool


def _portable(error: Exception) -> Exception:
    """The error itself if it can be pickled, else one with the same message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
