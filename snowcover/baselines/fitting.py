"""The baselines of one run: fitted on what the survey of its tiles brought along, scored beside its network."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from snowcover import machine
from snowcover.baselines.brightness import best_threshold, counts_above
from snowcover.baselines.forest import fit_forest
from snowcover.baselines.kept import FOREST, THRESHOLD, kept_forest, tensors
from snowcover.baselines.networks import ForestNetwork, pixel_mapper
from snowcover.config import Config
from snowcover.data.survey import Survey
from snowcover.metrics import Counts, scores
from snowcover.models.mapper import SnowMapper

log = logging.getLogger(__name__)

NAMES = ("forest", "brightness")  # as scores begin that are not the network's: forest_iou


def fit_baselines(config: Config, survey: Survey, before: Mapping[str, Any]) -> dict[str, Any]:
    """The brightness threshold and, unless it is left out, the forest, as a checkpoint keeps them.

    Args:
        before: what the checkpoint of a run that goes on has; nothing is fitted twice.
    """
    found = {name: before[name] for name in (THRESHOLD, FOREST) if name in before}
    if THRESHOLD not in found:
        found[THRESHOLD] = best_threshold(survey.sides["train"].brightness)
    if FOREST not in found and survey.pixels is not None:
        started = time.monotonic()
        found[FOREST] = tensors(fit_forest(survey.pixels, config.seed, config.hw.data_workers))
        if machine.rank() == 0:
            pixels, seconds = len(survey.pixels.snow), time.monotonic() - started
            log.info("A forest of single pixels, to compare with, was fitted on %d pixels in %.0f s.", pixels, seconds)
    return found


def forest_mapper(config: Config, baselines: Mapping[str, Any], uri: str) -> SnowMapper | None:
    """The forest among a run's baselines, for raw tiles; None where there is none.

    Raises: BadBaseline, naming `uri`, where they are from
    """
    if FOREST not in baselines:
        return None
    data = config.data
    forest = kept_forest({**baselines, "bands": data.bands}, uri)
    return pixel_mapper(ForestNetwork(forest), data.scale, data.offset, len(data.bands))


def baseline_scores(threshold: float, survey: Survey, side: str, forest: Counts | None) -> dict[str, float]:
    """`brightness_iou`, `forest_iou` and so on of one side of the split: all that are defined."""
    by_name = {"forest": forest, "brightness": counts_above(threshold, survey.sides[side].brightness)}
    return {
        f"{name}_{score}": value
        for name in NAMES
        if (counts := by_name[name]) is not None
        for score, value in scores(counts).items()
    }
