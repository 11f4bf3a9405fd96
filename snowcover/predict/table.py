"""The table at the end of a command, a line per map. Pure text."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from snowcover.predict.raster_files import Totals

HEADINGS = ("", "km² observed", "snow", "seconds")


@dataclass(frozen=True)
class CompleteMap:
    """A complete map."""

    name: str
    folder: str
    totals: Totals
    seconds: float | None
    """None if it existed before"""


def text(maps: Sequence[CompleteMap]) -> str:
    """One line per map, numbers to the right."""
    rows = [HEADINGS, *map(_row, maps)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    padded = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(cells) for cells in padded)


def as_csv(maps: Sequence[CompleteMap]) -> str:
    """The same as CSV, with more digits."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(["map", "observed_km2", "snow_km2", "snow_share", "seconds"])
    for complete_map in maps:
        totals = complete_map.totals
        share = "" if totals.snow_share is None else f"{totals.snow_share:.6g}"
        seconds = "" if complete_map.seconds is None else f"{complete_map.seconds:.1f}"
        writer.writerow([complete_map.name, f"{totals.observed_km2:.6g}", f"{totals.snow_km2:.6g}", share, seconds])
    return content.getvalue()


def _row(complete_map: CompleteMap) -> tuple[str, ...]:
    share = complete_map.totals.snow_share
    return (
        complete_map.name,
        f"{complete_map.totals.observed_km2:,.2f}",
        "-" if share is None else f"{share:.1%}",
        "there" if complete_map.seconds is None else f"{complete_map.seconds:.1f}",
    )
