"""Whether the masks of a run hold both classes, as they must for scores to mean something. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from snowcover.errors import UserError


class OneClass(UserError):
    """A split is all snow, or has none."""


class OtherCoding(UserError):
    """Masks hold 0 and 255 where they should hold 0 and 1."""


@dataclass
class CollectFacts:
    """How the masks of one collect are coded."""

    has_snow: bool = False
    has_untagged_255: bool = False

    def add(self, has_snow: bool, has_untagged_255: bool) -> None:
        """Add what one mask tile holds."""
        self.has_snow |= has_snow
        self.has_untagged_255 |= has_untagged_255


class _Statistics(Protocol):
    tiles: int
    unobserved: int

    @property
    def snow_share(self) -> float | None: ...


def refuse_other_coding(collects: Mapping[str, CollectFacts]) -> None:
    """Refuse collects whose 255 is likely to mean snow.

    Raises:
        OtherCoding
    """
    for name, facts in sorted(collects.items()):
        if facts.has_untagged_255 and not facts.has_snow:
            raise OtherCoding(
                f"The masks of collect {name} hold 255 and never 1, and their files do not say what 255 is: if it is "
                "snow, make it 1 (gdal_calc.py --calc='A==255'); if it is unobserved, and there is no snow, say so in "
                "the files (gdal_edit.py -a_nodata 255)."
            )


def refuse_one_class(splits: Mapping[str, _Statistics]) -> None:
    """Refuse a split that leaves a split with snow alone, without snow, or with nothing observed.

    Raises:
        OneClass
    """
    for name, facts in splits.items():
        share = facts.snow_share
        if share is None:
            raise OneClass(
                f"No pixel of the {name} tiles is observed in both image and mask: check the masks, or give another "
                "data.split."
            )
        if share in (0, 1):
            tiles = f"{facts.tiles} tile{'s' if facts.tiles != 1 else ''}"
            raise OneClass(
                f"The {name} split ({tiles}) is {share:.1%} snow, and scores of one class say nothing: "
                f"likely causes are {_causes(share, facts.unobserved)}; where the masks are right, give more tiles, "
                "another seed or another data.split."
            )


def _causes(share: float, unobserved: int) -> str:
    causes = [
        "a split that is too small",
        "a depth threshold in other units (prepare's depth_threshold_m is in metres)",
    ]
    if share == 0 and unobserved:
        causes.append("masks that mean snow by 255, which counts as unobserved (make it 1)")
    if share == 1:
        causes.append("masks that lost their 0, for no snow, on the way")
    return f"{', '.join(causes[:-1])} or {causes[-1]}"
