"""The values of a mask, of tiles and of maps alike."""

BARE, SNOW, UNOBSERVED = 0, 1, 255
