"""The snow line by aspect: the elevation at which snow covers half of the ground. Pure.

It is the elevation that minimises the snow below it plus the bare ground above it (regional snow-line elevation, Krajci
et al. 2014, J. Hydrology 519), which is where a monotone fit of snow share to elevation crosses one half. Unlike the
first or last elevation with half a cover, it is robust to snow in gullies and to clouds left in a map.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

BAND_M = 10.0
ASPECTS = 9
"""All ground first, then the eight of strata.ASPECT in its order."""
SAME_COST = 1e-9  # relative to all ground; sums of shares differ by rounding

Floats = NDArray[np.float64]


class SnowLineSums:
    """Snow and no snow by block, aspect and elevation band."""

    sums: dict[str, NDArray[np.float64]]
    """name -> [blocks, ASPECTS, bands, 2]"""

    def __init__(self, names: Iterable[str], blocks: int, lowest_m: float, highest_m: float) -> None:
        """names: of products and the reference; lowest_m, highest_m: range of elevations.

        Lower or higher pixels are counted in the first or last band.
        """
        self._first = int(np.floor(lowest_m / BAND_M))
        bands = int(np.floor(highest_m / BAND_M)) - self._first + 1
        self._centres: Floats = (self._first + np.arange(bands, dtype=np.float64) + 0.5) * BAND_M
        self.sums = {name: np.zeros((blocks, ASPECTS, bands, 2)) for name in names}

    def add(
        self,
        snow_shares: Mapping[str, NDArray[np.floating]],
        elevation_m: NDArray[np.floating],
        aspect: NDArray[np.integer],
        block: NDArray[np.integer],
    ) -> None:
        """Add scored pixels, all [N]: snow share 0 to 1 by name; elevation; bin of strata.ASPECT, -1 for none; block.

        Pixels without elevation (NaN) are left out.
        """
        known = ~np.isnan(elevation_m)
        if not known.any():
            return
        if not known.all():
            elevation_m, aspect, block = elevation_m[known], aspect[known], block[known]
            snow_shares = {name: share[known] for name, share in snow_shares.items()}
        first, last = int(block.min()), int(block.max()) + 1  # a window touches few blocks
        shape = (last - first, ASPECTS, len(self._centres))
        band = np.floor(elevation_m * np.float32(1 / BAND_M)).astype(np.int32) - self._first
        place = ((block - first) * ASPECTS + aspect + 1) * shape[2] + np.clip(band, 0, shape[2] - 1)
        place = place.astype(np.intp)
        pixels = np.bincount(place, minlength=math.prod(shape)).reshape(shape)
        for name, share in snow_shares.items():
            snow = np.bincount(place, share, math.prod(shape)).reshape(shape)
            added = np.stack([snow, pixels - snow], axis=-1)
            added[:, 0] = added.sum(axis=1)  # so far only pixels without aspect
            self.sums[name][first:last] += added

    @property
    def statistic(self) -> Callable[[NDArray[np.number]], dict[str, Floats]]:
        """Statistic for bootstrapping `sums`: [..., bands, 2] -> "snow_line_m" [...]; NaN if all or nothing is snow."""
        return lambda sums: {"snow_line_m": snow_line_m(sums, self._centres)}


def snow_line_m(sums: NDArray[np.number], centres_m: Floats) -> Floats:
    """The snow line [...] from sums [..., bands, 2] of snow and no snow; centres_m: [bands], rising.

    NaN if no elevation separates mostly snow, above, from mostly bare ground, below.
    """
    surplus = np.asarray(sums[..., 0] - sums[..., 1], np.float64)  # [..., bands], of snow
    # Misclassified ground with the line below band k, up to a constant: snow below it, minus the surplus from there on.
    cost = np.concatenate([np.zeros((*surplus.shape[:-1], 1)), surplus.cumsum(axis=-1)], axis=-1)  # [..., bands + 1]
    least = cost.min(axis=-1, keepdims=True)
    equal = cost <= least + SAME_COST * sums.sum(axis=(-2, -1))[..., None]
    first = equal.argmax(axis=-1)  # several minima occur if bands between snow and no snow are empty
    last = equal.shape[-1] - 1 - equal[..., ::-1].argmax(axis=-1)
    inside = (first > 0) & (last < surplus.shape[-1])
    below, above = np.maximum(first - 1, 0), np.minimum(last, surplus.shape[-1] - 1)
    lacking, over = (np.take_along_axis(surplus, at[..., None], axis=-1)[..., 0] for at in (below, above))
    share = np.divide(-lacking, over - lacking, out=np.full(lacking.shape, 0.5), where=over > lacking)
    line = centres_m[below] + share * (centres_m[above] - centres_m[below])
    return np.asarray(np.where(inside, line, np.nan))
