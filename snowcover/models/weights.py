"""The weights in a pickled network, read as data: nothing that the file names is imported or called."""

import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    **{("builtins", kind.__name__): kind for kind in (set, frozenset, slice, complex, range)},
    **{("torch", name): getattr(torch, name) for name in dir(torch) if name.endswith("Storage")},
}


class Inert:
    """Stands for whatever else a pickle names, keeps what it is given and does nothing."""

    args: tuple[Any, ...] = ()  # a pickle makes objects without calling __init__
    state: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args

    def __call__(self, *args: Any, **kwargs: Any) -> "Inert":
        """Another one: what a pickle calls is as inert as what it names."""
        return Inert(*args, **kwargs)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, value: Any) -> None: ...
    def extend(self, values: Any) -> None: ...
    def add(self, value: Any) -> None: ...


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return KNOWN.get((module, name), Inert)


def pickled_weights(path: Path) -> dict[str, Tensor]:
    """The state dict of the network that torch.save pickled into a file.

    Raises:
        Exception: it is no such file.
    """
    # torch.load takes its Unpickler from a module, adds how tensors are read, and asks ours for everything else
    inert = SimpleNamespace(Unpickler=_Unpickler, load=_refuse, __name__="inert")
    found = torch.load(path, map_location="cpu", pickle_module=inert, weights_only=False)
    return dict(_tensors(_fields(found), ""))


def _refuse(*args: Any, **kwargs: Any) -> None:
    raise pickle.UnpicklingError("no file of torch.save since torch 1.6")


def _fields(module: Any) -> Mapping[str, Any]:
    """The attributes of a pickled module, whether it keeps them as its state or, as graphs do, as an argument."""
    candidates = [module.state, *module.args] if isinstance(module, Inert) else []
    return next((one for one in candidates if isinstance(one, Mapping) and "_modules" in one), {})


def _tensors(fields: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Tensor]]:
    for kind in ("_parameters", "_buffers"):
        for name, value in (fields.get(kind) or {}).items():
            if isinstance(value, Tensor):
                yield f"{prefix}{name}", value.detach()
    for name, child in (fields.get("_modules") or {}).items():
        yield from _tensors(_fields(child), f"{prefix}{name}.")
