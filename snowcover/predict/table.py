"""What is told at the end of a command, a line per map. Pure text."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from snowcover.predict.raster_files import Totals

HEADINGS = ("", "km² observed", "snow", "seconds")


@dataclass(frozen=True)
class CompleteMap:
    """A map that is complete."""

    name: str
    folder: str
    totals: Totals
    seconds: float | None
    """None of one that was there"""


def text(made: Sequence[CompleteMap]) -> str:
    """One line per map, numbers to the right."""
    rows = [HEADINGS, *(_row(one) for one in made)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    padded = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows)
    return "\n".join("  ".join(cells) for cells in padded)


def as_csv(made: Sequence[CompleteMap]) -> str:
    """The same as a file, to all its figures."""
    content = io.StringIO()
    writer = csv.writer(content, lineterminator="\n")
    writer.writerow(["map", "observed_km2", "snow_km2", "snow_share", "seconds"])
    for one in made:
        totals = one.totals
        share = "" if totals.snow_share is None else f"{totals.snow_share:.6g}"
        seconds = "" if one.seconds is None else f"{one.seconds:.1f}"
        writer.writerow([one.name, f"{totals.observed_km2:.6g}", f"{totals.snow_km2:.6g}", share, seconds])
    return content.getvalue()


def _row(one: CompleteMap) -> tuple[str, ...]:
    share = one.totals.snow_share
    return (
        one.name,
        f"{one.totals.observed_km2:,.2f}",
        "-" if share is None else f"{share:.1%}",
        "there" if one.seconds is None else f"{one.seconds:.1f}",
    )
