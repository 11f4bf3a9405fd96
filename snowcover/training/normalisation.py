"""What a network's input is normalised by: the moments of its training tiles, unless its weights bring their own."""

import math

from snowcover.data.config import DataConfig
from snowcover.data.layer_facts import LayerNumbers
from snowcover.data.statistics import DatasetStatistics
from snowcover.finite import NotFinite
from snowcover.run_metadata import RunMetadata


def band_moments(
    data: DataConfig, statistics: DatasetStatistics, weights: RunMetadata | None
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation [C] of each band's reflectance.

    Args:
        weights: of the run whose weights it starts from, which keep what they were trained with.

    Raises:
        NotFinite
    """
    if data.mean is not None and data.std is not None:
        mean, std = data.mean, data.std
    elif weights is not None:
        mean, std = weights.mean, weights.std
    else:
        mean, std = statistics.mean, statistics.std
    if not all(map(math.isfinite, [*mean, *std])):
        raise NotFinite(
            f"The bands' mean {mean} and standard deviation {std} are not all finite numbers: look for tiles with "
            "values that are none, or give data.mean and data.std."
        )
    return mean, std


def layer_moments(statistics: DatasetStatistics, weights: RunMetadata | None) -> LayerNumbers:
    """The same of each layer's channels, which no key of the config gives."""
    if weights is not None:
        return weights.layers
    found = statistics.layers
    return LayerNumbers() if found is None else LayerNumbers(found.channels, tuple(found.mean), tuple(found.std))
