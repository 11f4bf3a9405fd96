"""The outcome of a run, its network next to its baselines: a table, a verdict, and MLflow's description. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

SCORES = ("iou", "f1", "precision", "recall", "balanced_accuracy", "kappa", "ece")
COLUMNS = {"network": "", "forest": "forest_", "brightness": "brightness_"}
"""heading, which is also what predict calls it, and what the names of its scores begin with"""
WORDS = {"forest": "a random forest that sees single pixels", "brightness": "a plain brightness threshold"}
DESCRIPTION = "### Scores"  # first line of what we write into a run's description


def score_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Heading and one row a score, of val by IoU alone: score, network, forest, brightness; "" where there is none."""
    columns = [name for name in COLUMNS if name == "network" or f"{COLUMNS[name]}iou" in _named(result)]
    rows = [
        [f"{side} {score}", *(_shown(result[side].get(f"{COLUMNS[name]}{score}")) for name in columns)]
        for side, score in [("val", "iou"), *(("test", score) for score in SCORES)]
        if score in result[side]
    ]
    return [["", *columns], *rows]


def score_lines(result: Mapping[str, Any]) -> list[str]:
    """The same in columns for a terminal."""
    rows = score_rows(result)
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [
        f"{row[0]:<{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    ]


def verdict(result: Mapping[str, Any]) -> str | None:
    """A message where a baseline does better on the test tiles than the network, None where none does."""
    test = result["test"]
    own = test.get("iou")
    better = {name: iou for name in WORDS if (iou := test.get(f"{COLUMNS[name]}iou")) is not None}
    if own is None or not better or max(better.values()) <= own:
        return None
    best = max(better, key=lambda name: better[name])
    return (
        f"The network is worse than {WORDS[best]} (test IoU {own:.3f} against {better[best]:.3f}): train it longer or "
        f"otherwise, or map with={best}."
    )


def description(result: Mapping[str, Any], before: str = "") -> str:
    """A run's description in MLflow, which is Markdown: the table, the verdict and how to map.

    Args:
        before: the description that it has; what somebody else wrote stays above ours.
    """
    heading, *rows = score_rows(result)
    table = [_markdown(heading), _markdown(["---"] * len(heading)), *map(_markdown, rows)]
    said = verdict(result)
    command = f"python -m snowcover.predict model={result['run_id']} scenes=... out=maps"
    choices = " or ".join(f"`with={name}`" for name in heading[1:])
    ours = [
        DESCRIPTION, "", *table, "", f"Best epoch: {result['best_epoch']}.", *([said] if said else []), "",
        f"Map scenes with it: `{command}`, and {choices}.",
    ]  # fmt: skip
    theirs = before.partition(DESCRIPTION)[0].rstrip()
    return "\n".join([*([theirs, ""] if theirs else []), *ours])


def _named(result: Mapping[str, Any]) -> Iterator[str]:
    yield from result["val"]
    yield from result["test"]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _markdown(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
