"""The baselines of one run: fitted on the statistics of its training tiles, scored next to its network."""

import logging
import time

from torch import Tensor

from snowcover import machine
from snowcover.baselines.brightness import best_threshold, counts_above
from snowcover.baselines.forest import fit_forest
from snowcover.baselines.networks import ForestNetwork, pixel_mapper
from snowcover.baselines.stored import forest_tensors, stored_forest
from snowcover.config import Config
from snowcover.data.statistics import DatasetStatistics
from snowcover.models.mapper import SnowMapper
from snowcover.run_metadata import RunMetadata
from snowcover.scoring.confusion import Counts, scores

log = logging.getLogger(__name__)

NAMES = ("forest", "brightness")  # as scores begin that are not the network's: forest_iou


def fit_baselines(
    config: Config, statistics: DatasetStatistics, before: RunMetadata
) -> tuple[float, dict[str, Tensor] | None]:
    """The brightness threshold and, unless it is left out, the forest's arrays.

    Args:
        before: what is known of a run that is resumed; nothing is fitted twice.
    """
    threshold, forest = before.brightness_threshold, before.forest
    if threshold is None:
        threshold = best_threshold(statistics.splits["train"].brightness)
    if forest is None and statistics.pixels is not None:
        started = time.monotonic()
        forest = forest_tensors(fit_forest(statistics.pixels, config.seed, config.hw.data_workers))
        if machine.rank() == 0:
            pixels, seconds = len(statistics.pixels.snow), time.monotonic() - started
            log.info("A forest of single pixels, to compare with, was fitted on %d pixels in %.0f s.", pixels, seconds)
    return threshold, forest


def forest_mapper(config: Config, metadata: RunMetadata, uri: str) -> SnowMapper | None:
    """The run's forest, for raw tiles; None where there is none.

    Raises: BadBaseline, naming `uri`, where it is from
    """
    if metadata.forest is None:
        return None
    data = config.data
    return pixel_mapper(ForestNetwork(stored_forest(metadata, uri)), data.scale, data.offset, len(data.bands))


def baseline_scores(
    threshold: float, statistics: DatasetStatistics, split: str, forest: Counts | None
) -> dict[str, float]:
    """`brightness_iou`, `forest_iou` and so on of one split: all that are defined."""
    by_name = {"forest": forest, "brightness": counts_above(threshold, statistics.splits[split].brightness)}
    return {
        f"{name}_{score}": value
        for name in NAMES
        if (counts := by_name[name]) is not None
        for score, value in scores(counts).items()
    }
