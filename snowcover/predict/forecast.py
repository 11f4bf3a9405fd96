"""What a dry run tells: how many windows a map takes, how large it is at most, and about how long it takes."""

import logging
import time

import torch

from snowcover.predict.one_map import Mapper, OpenedProduct
from snowcover.trained_model import TrainedModel

log = logging.getLogger(__name__)

# Of a pixel's byte, compressed: measured on maps of the Everest and Tuolumne scenes, whose classes are long runs.
SNOW_SHARE, PROBABILITY_SHARE, OVERVIEWS = 0.1, 0.7, 4 / 3


def tell_forecast(mapper: Mapper, product: OpenedProduct) -> None:
    """Say it of one map; the networks are tried for a moment.

    Raises: UserError
    """
    count, grid = mapper.count(product), product.grid
    shares = SNOW_SHARE + PROBABILITY_SHARE * (2 if mapper.has_spread else 1)
    size_bytes = grid.width * grid.height * shares * OVERVIEWS
    passes = count.windows * count.members / len(mapper.models)  # windows are those of all networks
    seconds = passes * sum(_seconds_a_window(model) for model in mapper.models) / len(mapper.models)
    log.info(
        "%s: %d windows%s, %d x %d pixels, about %.3g MB and %.0f s, into %s; nothing was written (dry_run).",
        product.product.name, count.windows, f" by {count.members} members" if count.members > 1 else "",
        grid.width, grid.height, size_bytes / 1e6, seconds, f"{mapper.out}/{product.product.name}",
    )  # fmt: skip


@torch.inference_mode()
def _seconds_a_window(model: TrainedModel) -> float:
    """Of one window as large as the training's tiles, by a second pass: the first one makes room."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    window = torch.rand(1, model.mapper.channels, model.tile_size, model.tile_size, device=device)
    mapper = model.mapper.to(device)
    mapper(window).cpu()
    started = time.monotonic()
    mapper(window).cpu()
    return time.monotonic() - started
