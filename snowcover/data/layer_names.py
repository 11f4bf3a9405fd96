"""What a layer's name stands for: which channels of the network, and which bands of its tiles. Pure.

Most names are those of a band. Two are not: `aspect` is two channels, for an angle jumps from 360 to 0 degrees where
the ground does not, and `illumination` depends on the scene's time, so it is in no tile.
"""

from collections.abc import Iterable

ELEVATION, SLOPE, ASPECT, ILLUMINATION = "elevation", "slope", "aspect", "illumination"
ASPECT_BANDS = ("aspect_sin", "aspect_cos")
TERRAIN_BANDS = (ELEVATION, SLOPE, *ASPECT_BANDS)
"""of a tile that prepare makes from an elevation: metres, degrees, and east and north of the way downhill"""


def channels_of(layer: str) -> tuple[str, ...]:
    """The channels of the network that a layer is."""
    return ASPECT_BANDS if layer == ASPECT else (layer,)


def bands_of(layer: str) -> tuple[str, ...]:
    """The bands of its tiles that a layer is made of."""
    return (SLOPE, *ASPECT_BANDS) if layer == ILLUMINATION else channels_of(layer)


def all_channels(layers: Iterable[str]) -> tuple[str, ...]:
    """The channels of several layers, in their order."""
    return tuple(channel for layer in layers for channel in channels_of(layer))
