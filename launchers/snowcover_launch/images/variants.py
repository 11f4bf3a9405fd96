"""The variants of the image: the torch version of each, and which GPUs it supports.

`container/constraints-NAME.txt` holds the packages; when their torch changes, so must this table: a test compares
them, and `python -m snowcover.image try` checks the image itself.
"""

from dataclasses import dataclass

Capability = tuple[int, int]
"""NVIDIA's compute capability: (8, 6) is 8.6, compiled for as sm_86"""


@dataclass(frozen=True)
class Variant:
    """One variant of the image."""

    torch: str
    """version"""
    compute_capabilities: tuple[Capability, ...]
    """for which its torch is compiled: torch.cuda.get_arch_list()"""

    def supports(self, gpu: Capability) -> bool:
        """Whether its code runs on a GPU: CUDA runs code compiled for the same major and no higher minor number."""
        return any(major == gpu[0] and minor <= gpu[1] for major, minor in self.compute_capabilities)


# By the name in hw.image; `kepler` is the oldest GPU generation that it supports.
VARIANTS = {
    "current": Variant("2.14.1", ((7, 5), (8, 0), (8, 6), (9, 0), (10, 0), (12, 0))),
    "kepler": Variant("2.0.1", ((3, 7), (5, 0), (6, 0), (7, 0), (7, 5), (8, 0), (8, 6))),
}


def variant_for(gpu: Capability) -> str | None:
    """The name of the newest variant that supports a GPU; None if none does."""
    return next((name for name, variant in VARIANTS.items() if variant.supports(gpu)), None)


def compiled_for(flags: str) -> tuple[Capability, ...]:
    """The capabilities in torch's architecture flags, for example `sm_75 sm_80`."""
    names = [flag.partition("_")[2] for flag in flags.split() if flag.startswith("sm_")]
    return tuple((int(digits[:-1]), int(digits[-1])) for digits in ("".join(filter(str.isdigit, n)) for n in names))
