"""Estimates of a dry run: the number of windows of a map, its size, and the time to make it."""

import logging
import time

import torch

from snowcover.predict.one_map import Mapper, OpenedProduct
from snowcover.trained_model import TrainedModel

log = logging.getLogger(__name__)

# Compressed bytes per pixel, measured on maps of the Everest and Tuolumne scenes, whose classes are long runs.
SNOW_SHARE, PROBABILITY_SHARE, OVERVIEWS = 0.1, 0.7, 4 / 3


def log_forecast(mapper: Mapper, product: OpenedProduct) -> None:
    """Log the estimate for one map; the networks are timed for a moment.

    Raises: UserError
    """
    count, grid = mapper.count(product), product.grid
    shares = SNOW_SHARE + PROBABILITY_SHARE * (2 if mapper.has_spread else 1)
    size_bytes = grid.width * grid.height * shares * OVERVIEWS
    passes = count.windows * count.members / len(mapper.models)  # windows are counted for every network
    seconds = passes * sum(_seconds_per_window(model) for model in mapper.models) / len(mapper.models)
    log.info(
        "%s: %d windows%s, %d x %d pixels, about %.3g MB and %.0f s, into %s; nothing was written (dry_run).",
        product.product.name, count.windows, f" by {count.members} members" if count.members > 1 else "",
        grid.width, grid.height, size_bytes / 1e6, seconds, f"{mapper.out}/{product.product.name}",
    )  # fmt: skip


@torch.inference_mode()
def _seconds_per_window(model: TrainedModel) -> float:
    """Time per window of the training tiles' size, measured after a warm-up pass."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    window = torch.rand(1, model.mapper.channels, model.tile_size, model.tile_size, device=device)
    mapper = model.mapper.to(device)
    mapper(window).cpu()
    started = time.monotonic()
    mapper(window).cpu()
    return time.monotonic() - started
