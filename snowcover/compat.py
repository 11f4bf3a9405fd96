"""What the older set of packages (container/constraints-kepler.txt), the last that drives a K80, does otherwise.

Every other module is written so that it does the same on both sets.
"""

import inspect
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.utils.checkpoint import checkpoint

__all__ = [
    "CHECKPOINT_HAS_CONTEXTS", "DistError", "Image", "Mask", "check_export", "destroy_process_group", "drop_methods",
    "raw_tensor", "v2",
]  # fmt: skip

try:
    from torch.distributed import DistError
except ImportError:  # torch before 2.4 has no kind for all of its own
    from torch.distributed import DistBackendError as DistError  # type: ignore[assignment]

try:
    from torchvision.tv_tensors import Image, Mask
except ImportError:  # torchvision before 0.16 has them under another name, and calls transforms.v2 a beta
    import torchvision

    torchvision.disable_beta_transforms_warning()
    from torchvision.datapoints import Image, Mask

from torchvision.transforms import v2  # after its warning is off

# torch before 2.1 has no way to let a block know that it is run again for the backward pass.
CHECKPOINT_HAS_CONTEXTS = "context_fn" in inspect.signature(checkpoint).parameters


def raw_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """Raw tiles as a tensor of the same numbers; torch before 2.3 has of the unsigned types uint8 alone."""
    if array.dtype.kind == "u" and not hasattr(torch, array.dtype.name):
        array = array.astype(np.promote_types(array.dtype, np.int8))  # the next larger signed type
    return torch.from_numpy(array)


def drop_methods(checkpoint: dict[str, Any]) -> None:
    """Leave data alone in a checkpoint: OneCycleLR before torch 2.1 keeps a method of its own, which it has anyway."""
    for state in checkpoint["lr_schedulers"]:
        state.pop("anneal_func", None)


def check_export() -> None:
    """Raises RuntimeError where torch cannot export a network, which is how MLflow keeps one as a model."""
    if find_spec("torch.export") is None:
        raise RuntimeError(f"torch {torch.__version__} cannot export networks")


def destroy_process_group() -> None:
    """Leave the process group, and end its threads.

    torch 2.0 ends them holding Python's lock, for which a thread waits that has yet to let go of a tensor: both for
    ever. Whoever drops the last reference to the group's backend ends them without that lock.
    """
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    backend = distributed.distributed_c10d._get_default_group()._get_backend(torch.device(device))
    distributed.destroy_process_group()
    del backend
