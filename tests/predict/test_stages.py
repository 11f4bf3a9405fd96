"""The parts of a mapping by themselves: threads in order, cells on the disk, windows that add up."""

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from snowcover import storage
from snowcover.predict.blend import Blender, weights
from snowcover.predict.cells import cells
from snowcover.predict.plan import Box, Layout, Plan, core_px, layout_of_tile_size, layout_with_margin
from snowcover.predict.prefetch import in_order, prefetched

LAYOUTS = [
    layout_with_margin(512), layout_with_margin(100), layout_with_margin(64, 16, (5, -7)), layout_of_tile_size(256),
    Layout(64, 64, 0, 0),
]  # fmt: skip


def opener(work):
    @contextmanager
    def opened():
        yield work

    return opened


def test_results_come_in_order_however_long_each_takes() -> None:
    def work(item: int) -> int:
        time.sleep((7 - item % 7) / 2000)
        return item * item

    assert list(in_order([opener(work)] * 3, range(40), 5)) == [item * item for item in range(40)]
    assert list(in_order([opener(work)], [], 1)) == []
    assert list(prefetched(iter("snow"), 2)) == list("snow")


def test_no_more_items_are_started_than_allowed() -> None:
    started: list[int] = []
    found = in_order([opener(started.append)] * 4, range(100), 6)
    for taken in range(20):
        next(found)
        assert len(started) <= taken + 1 + 6
    found.close()
    assert len(started) < 40


@pytest.mark.parametrize("where", ["opening", "items", "work"])
def test_an_error_is_raised_in_order_and_ends_all_threads(where: str) -> None:
    def items():
        yield from range(3)
        if where == "items":
            raise ValueError("items")
        yield from range(3, 50)

    def work(item: int) -> int:
        if where == "work" and item == 3:
            raise ValueError("work")
        return item

    @contextmanager
    def opened():
        if where == "opening":
            raise ValueError("opening")
        yield work

    before, found = threading.active_count(), []
    with pytest.raises(ValueError, match=where):
        for made in in_order([opened] * 2, items(), 4):
            found.append(made)
    assert found == ([] if where == "opening" else [0, 1, 2])
    assert threading.active_count() == before


def test_cells_are_returned_until_their_row_is_discarded() -> None:
    rng = np.random.default_rng(0)
    kept = {
        (row, column): rng.integers(0, 9, (2, 3, 4)).astype(np.uint16) for row in range(-1, 3) for column in (7, -2)
    }
    with cells((2, 3, 4), np.uint16) as store:
        for place, values in kept.items():
            store.put(*place, values)
        assert all(np.array_equal(store.get(*place), values) for place, values in kept.items())
        assert store.get(0, 1) is None
        folder = store._folder
        store.discard_before(2)
        assert [store.get(row, 7) is None for row in range(-1, 3)] == [True, True, True, False]
        assert len(list(folder.iterdir())) == 1
    assert not folder.exists()


def test_a_full_disk_is_reported_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.pwrite", lambda *_: 7)
    with cells((4, 4), np.float32) as store, pytest.raises(storage.DiskFull, match=r"TMPDIR\.$"):
        store.put(0, 0, np.zeros((4, 4), np.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blended_windows_reproduce_what_they_agree_on(layout: Layout) -> None:
    box = Box(1000, 2000, 1000 + 3 * layout.stride_px, 2000 + 2 * layout.stride_px + 1)
    plan = Plan(15, 512, layout, box)
    left, top = plan.core(plan.rows.start, plan.columns.start)
    side, ramp = layout.stride_px, layout.ramp_px
    ground = np.random.default_rng(0).random(
        (1, len(plan.rows) * side + 2 * ramp, len(plan.columns) * side + 2 * ramp)
    ).astype(np.float32)  # fmt: skip
    mosaic = np.zeros_like(ground)
    blender = Blender(layout)
    for row in plan.rows:
        for column in plan.columns:
            x, y = (np.array(plan.core(row, column)) - (left, top)).astype(int)
            part = np.s_[:, y : y + layout.support_px, x : x + layout.support_px]
            block = blender.add(row, column, ground[part])
            assert block is not None
            mosaic[:, y : y + side, x : x + side] = block
    # what lies in the scene: the first block begins one ramp above and left of its core
    scene = np.s_[:, box.top - top + ramp : box.bottom - top + ramp, box.left - left + ramp : box.right - left + ramp]
    assert scene[1].start >= 0 and np.abs(mosaic[scene] - ground[scene]).max() < 1e-6
    assert layout.window_px >= layout.context_px + side + ramp
    assert weights(layout).max() <= 1


def test_empty_windows_give_no_block() -> None:
    blender = Blender(layout_with_margin(64))
    assert blender.add(0, 0, None) is None
    side = layout_with_margin(64).support_px
    assert blender.add(0, 1, np.ones((1, side, side), np.float32)) is not None
    assert blender.add(0, 2, None) is not None  # what its neighbour says of its edge
    assert blender.add(0, 3, None) is None


def test_the_cores_of_a_plan_are_the_training_tiles() -> None:
    plan = Plan(15, 512, layout_with_margin(512), Box(512 * 100 + 5, 512 * 200 + 5, 512 * 101, 512 * 201))
    assert (100, 200) in [(column, row) for row in plan.rows for column in plan.columns]
    assert plan.core(200, 100) == (51200, 102400)
    assert plan.layout.window_px == 768
    assert [core_px(size) for size in (64, 100, 256, 512, 1024)] == [512, 500, 512, 512, 1024]
    assert list(plan.tiles()) == [(200, 100)]
