"""The snow line: the elevation where snow covers half of the ground, by aspect. Pure.

Of all elevations it is the one with the least snow below it plus bare ground above it (Krajci et al. 2014, J. Hydrology
519: regional snow-line elevation); that is where a monotone fit of snow share to elevation crosses one half. Neither
snow in a gully nor cloud left in a map moves it, as they would the first or the last elevation with half a cover.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

BAND_M = 10.0
ASPECTS = 9
"""All ground first, then the eight of strata.ASPECT in its order."""
SAME_COST = 1e-9  # of all ground; sums of shares differ by rounding

Floats = NDArray[np.float64]


class SnowLineSums:
    """Snow and no snow by block, aspect and elevation band."""

    sums: dict[str, NDArray[np.float64]]
    """[blocks, ASPECTS, bands, 2] of each name"""

    def __init__(self, names: Iterable[str], blocks: int, lowest_m: float, highest_m: float) -> None:
        """names: of products, and of the reference; lowest_m, highest_m: of the elevations to come.

        What lies lower or higher is counted in the band at that end.
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
        """All [N], of the pixels to count: snow share 0 to 1 of each name; bin of strata.ASPECT, -1 for none.

        A pixel without elevation (NaN) is left out.
        """
        known = ~np.isnan(elevation_m)
        if not known.any():
            return
        if not known.all():
            elevation_m, aspect, block = elevation_m[known], aspect[known], block[known]
            snow_shares = {name: share[known] for name, share in snow_shares.items()}
        first, last = int(block.min()), int(block.max()) + 1  # a window lies in few of the blocks
        shape = (last - first, ASPECTS, len(self._centres))
        band = np.floor(elevation_m * np.float32(1 / BAND_M)).astype(np.int32) - self._first
        place = ((block - first) * ASPECTS + aspect + 1) * shape[2] + np.clip(band, 0, shape[2] - 1)
        place = place.astype(np.intp)
        pixels = np.bincount(place, minlength=math.prod(shape)).reshape(shape)
        for name, share in snow_shares.items():
            snow = np.bincount(place, share, math.prod(shape)).reshape(shape)
            added = np.stack([snow, pixels - snow], axis=-1)
            added[:, 0] = added.sum(axis=1)  # so far those that face nowhere
            self.sums[name][first:last] += added

    @property
    def statistic(self) -> Callable[[NDArray[np.number]], dict[str, Floats]]:
        """[..., bands, 2] -> "snow_line_m" [...], to draw `sums` by; NaN where all is snow, or nothing."""
        return lambda sums: {"snow_line_m": snow_line_m(sums, self._centres)}


def snow_line_m(sums: NDArray[np.number], centres_m: Floats) -> Floats:
    """Elevation [...] of sums [..., bands, 2] of snow and no snow, by bands of these rising centres [bands].

    NaN where no elevation parts ground that is mostly snow, above, from ground that mostly is not.
    """
    surplus = np.asarray(sums[..., 0] - sums[..., 1], np.float64)  # [..., bands], of snow
    # What is wrong with a line below band k, up to a constant: snow below it, less the snow's surplus from there on.
    cost = np.concatenate([np.zeros((*surplus.shape[:-1], 1)), surplus.cumsum(axis=-1)], axis=-1)  # [..., bands + 1]
    least = cost.min(axis=-1, keepdims=True)
    equal = cost <= least + SAME_COST * sums.sum(axis=(-2, -1))[..., None]
    first = equal.argmax(axis=-1)  # several are, where bands between snow and no snow are empty
    last = equal.shape[-1] - 1 - equal[..., ::-1].argmax(axis=-1)
    inside = (first > 0) & (last < surplus.shape[-1])
    below, above = np.maximum(first - 1, 0), np.minimum(last, surplus.shape[-1] - 1)
    lacking, over = (np.take_along_axis(surplus, at[..., None], axis=-1)[..., 0] for at in (below, above))
    share = np.divide(-lacking, over - lacking, out=np.full(lacking.shape, 0.5), where=over > lacking)
    line = centres_m[below] + share * (centres_m[above] - centres_m[below])
    return np.asarray(np.where(inside, line, np.nan))
