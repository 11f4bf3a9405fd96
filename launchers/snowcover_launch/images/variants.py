"""The variants of the image: which torch each holds, and which GPUs that torch drives.

`container/constraints-NAME.txt` holds the packages; when their torch changes, so does this table: a test compares
them, and `python -m snowcover.image try` asks the image itself.
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
    """that its torch is compiled for: torch.cuda.get_arch_list()"""

    def drives(self, gpu: Capability) -> bool:
        """Whether its code runs on a GPU: CUDA runs what was compiled for the same major and no higher minor number."""
        return any(major == gpu[0] and minor <= gpu[1] for major, minor in self.compute_capabilities)


# By the name that hw.image gives; `kepler` is the first of the GPUs for which it is kept.
VARIANTS = {
    "current": Variant("2.14.1", ((7, 5), (8, 0), (8, 6), (9, 0), (10, 0), (12, 0))),
    "kepler": Variant("2.0.1", ((3, 7), (5, 0), (6, 0), (7, 0), (7, 5), (8, 0), (8, 6))),
}


def variant_for(gpu: Capability) -> str | None:
    """The name of the newest variant that drives a GPU; None where none does."""
    return next((name for name, variant in VARIANTS.items() if variant.drives(gpu)), None)


def compiled_for(flags: str) -> tuple[Capability, ...]:
    """What torch's architecture flags say, for example `sm_75 sm_80`."""
    names = [flag.partition("_")[2] for flag in flags.split() if flag.startswith("sm_")]
    return tuple((int(digits[:-1]), int(digits[-1])) for digits in ("".join(filter(str.isdigit, n)) for n in names))
