"""What is reported at the end of a command. Pure text."""

from collections.abc import Mapping, Sequence

from snowcover.data.index import Index
from snowcover.prepare.scan import PixelCounts
from snowcover.prepare.tiling import Result

MOST_NAMED = 10  # scenes without a tile
HEADINGS = ("", "tiles", "made now", "MB", "snow", "nodata", "seconds")


def table(results: Sequence[Result]) -> str:
    """One line per scene or collect, numbers to the right."""
    rows = [HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    padded = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(cells) for cells in padded)


def _row(result: Result) -> tuple[str, ...]:
    tiles = result.index.tiles
    return (
        result.name,
        str(len(tiles)),
        str(result.made),
        f"{sum(entry.size_bytes for entry in tiles) / 1e6:.1f}",
        snow_share(result.index),
        nodata_share(result.index),
        f"{result.seconds:.1f}",
    )


def snow_share(index: Index) -> str:
    """Share of snow among the observed pixels of a collect."""
    if index.kind != "collect":
        return "-"
    observed_px = sum(entry.observed_px for entry in index.tiles)
    return share(sum(entry.snow_px or 0 for entry in index.tiles), observed_px)


def nodata_share(index: Index) -> str:
    """Share of unobserved pixels in all tiles."""
    all_px = len(index.tiles) * int(str(index.settings["tile_size"])) ** 2
    return share(all_px - sum(entry.observed_px for entry in index.tiles), all_px)


def share(part: float, whole: float) -> str:
    """A share in per cent; a dash if the whole is 0."""
    return f"{part / whole:.1%}" if whole else "-"


def collect_message(name: str, counts: PixelCounts, is_mask: bool) -> str:
    """Message on what the collect's own pixels hold."""
    all_px = counts.snow_px + counts.bare_px + counts.unobserved_px
    what = "a mask already" if is_mask else "snow depth"
    out_of_range = f"; {counts.out_of_range_px} of them had a depth out of range" if counts.out_of_range_px else ""
    return (
        f"{name} is {what}: {share(counts.snow_px, all_px)} snow, {share(counts.bare_px, all_px)} no snow, "
        f"{share(counts.unobserved_px, all_px)} unobserved{out_of_range}"
    )


def no_tiles_message(empty: Mapping[str, str], asked: int, is_dry_run: bool) -> str:
    """Error message for the sources without a tile.

    Args:
        empty: uri -> why it has no tile.
        asked: number of all sources.
    """
    made = "would be made" if is_dry_run else "was made"
    reasons = list(empty.values())
    if asked == 1:
        return f"No tile {made}: {reasons[0]}"
    others = [name.rsplit("/", 1)[-1] for name in list(empty)[1:]]
    named = ", ".join(others[:MOST_NAMED]) + (", ..." if len(others) > MOST_NAMED else "")
    also = f" (Nor of {named}.)" if others else ""
    return f"No tile {made} of {len(empty)} of the {asked} scenes: {reasons[0]}{also}"
