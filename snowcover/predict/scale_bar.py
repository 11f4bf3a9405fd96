"""How long the scale bar of a map is. Pure."""

import math


def scale_bar_m(most_m: float) -> float:
    """The longest of 1, 2 and 5 times a power of ten that is no longer."""
    power = 10.0 ** math.floor(math.log10(most_m))
    return max(step * power for step in (1, 2, 5) if step * power <= most_m * (1 + 1e-9))


def scale_bar_label(length_m: float) -> str:
    """`2 km`, `500 m`."""
    return f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
