"""The figures of a report as PNG, drawn from the rows of an evaluation."""

from snowcover.evaluate.figures.drawing import Picture, Style
from snowcover.evaluate.figures.fractions import draw_fractions
from snowcover.evaluate.figures.maps import draw_maps
from snowcover.evaluate.figures.reliability import draw_reliability
from snowcover.evaluate.figures.scores import draw_differences, draw_scores
from snowcover.evaluate.figures.snow_line import draw_snow_line
from snowcover.evaluate.figures.strata import draw_depth_recall, draw_strata
from snowcover.evaluate.figures.thresholds import draw_thresholds
from snowcover.evaluate.results import Evaluation
from snowcover.evaluate.selection import select

__all__ = ["Picture", "draw_figures"]


def draw_figures(evaluation: Evaluation) -> list[Picture]:
    """All figures that the evaluation has numbers for, in the order of the report; add new figures here."""
    selection, style = select(evaluation), Style.of(evaluation.products)
    return [
        *draw_maps(evaluation),
        *draw_scores(selection, style),
        *draw_differences(selection, style),
        *draw_strata(selection, style),
        *draw_depth_recall(selection, style),
        *draw_fractions(selection),
        *draw_reliability(selection, style),
        *draw_snow_line(selection, style),
        *draw_thresholds(selection, style),
    ]
