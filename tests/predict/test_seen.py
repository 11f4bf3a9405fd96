"""Where a scene is observed, read a row of blocks at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window

from snowcover.predict import observed_mask
from snowcover.predict.observed_mask import ObservedMask
from snowcover.predict.resample import Part


class Observed:
    """A scene of which pixels are observed at random; it counts how often each is read."""

    def __init__(self, height: int, width: int) -> None:
        self.valid = np.random.default_rng(height * width).integers(0, 2, (height, width), dtype=np.uint8)
        self.reads = np.zeros((height, width), int)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        part = window.toslices()
        self.reads[part] += 1
        return self.valid[part][:, :, None], self.valid[part]


@given(st.integers(1, 1300), st.integers(1, 90), st.integers(20, 700), st.integers(5, 40))
def test_any_bands_and_parts_get_the_scenes_mask_and_each_pixel_is_read_once(
    height: int, width: int, band: int, columns: int
) -> None:
    scene, pixels = Observed(height, width), ObservedMask(height)
    for top in range(0, height, band):
        for left in range(0, width, columns):
            part = Part(range(left, min(left + columns, width)), range(top, min(top + band, height)))
            found = pixels.of(scene, part)  # type: ignore[arg-type]
            assert np.array_equal(found, scene.valid[top : top + band, left : left + columns] == 1)
    assert (scene.reads == 1).all()
    assert len(pixels._known) <= 3 * -(-width // columns) + band // observed_mask.BLOCK_ROWS * -(-width // columns)
