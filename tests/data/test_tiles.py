"""The grid: tiles meet without gap, paths and tiles name each other, covers are exact to the edge."""

import itertools

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from rasterio import warp

from snowcover.data.tiles import HALF_WORLD_M, MAX_ZOOM, Tile, ancestor, bounds, covering, parse, path


@st.composite
def any_tile(draw: st.DrawFn, max_zoom: int = MAX_ZOOM) -> Tile:
    z = draw(st.integers(0, max_zoom))
    index = st.integers(0, 2**z - 1)
    return Tile(z, draw(index), draw(index))


@st.composite
def any_box(draw: st.DrawFn, z: int) -> tuple[float, float, float, float]:
    """A box of which each side lies anywhere, outside the world too, or exactly on a grid line of zoom z."""
    anywhere = st.floats(-1.2 * HALF_WORLD_M, 1.2 * HALF_WORLD_M)
    on_a_line = st.integers(0, 2**z - 1).map(lambda i: bounds(Tile(z, i, i))[0])
    side = st.one_of(anywhere, on_a_line)
    left, right = sorted((draw(side), draw(side)))
    bottom, top = sorted((draw(side), draw(side)))
    assume(left < right and bottom < top)
    return left, bottom, right, top


@given(any_tile(), st.sampled_from(["", "scene/", "/a/b/", "s3://bucket/20180528_181110_1025/", "9/9/9/"]))
def test_a_tile_is_read_back_from_the_path_it_was_given(tile: Tile, prefix: str) -> None:
    assert parse(prefix + path(tile)) == tile
    assert parse(prefix + path(tile) + "f") == tile


@pytest.mark.parametrize(
    "text",
    [
        "", "15/1.tif", "15/1/2.png", "15/1/2", "15/1/2.tif.aux.xml", "a/1/2.tif", "15/-1/2.tif",
        "15/+1/2.tif", "015/1/2.tif", "15/1/02.tif", "x15/1/2.tif", "15/1/2.tif\n", "15/1_0/2.tif",
        "15/1/٢.tif", "15//2.tif", "1/2/0.tif", "1/0/2.tif", "0/0/1.tif", "31/0/0.tif", "99999999999/0/0.tif",
    ],
)  # fmt: skip
def test_what_names_no_tile_of_the_grid_parses_to_none(text: str) -> None:
    assert parse(text) is None


def test_a_known_tile_lies_where_the_grid_standard_puts_it() -> None:
    assert bounds(Tile(0, 0, 0)) == (-HALF_WORLD_M, -HALF_WORLD_M, HALF_WORLD_M, HALF_WORLD_M)
    assert bounds(Tile(0, 0, 0))[2] == pytest.approx(20037508.342789244, abs=1e-8)
    left, bottom, right, top = bounds(Tile(15, 5515, 12651))
    assert (right - left) / 512 == pytest.approx(2.388657133911758, abs=1e-9)
    assert top - bottom == pytest.approx(right - left)


def test_a_place_on_earth_lies_in_the_tile_that_web_maps_show_there() -> None:
    (x,), (y,) = warp.transform("EPSG:4326", "EPSG:3857", [-119.4], [37.9])
    assert covering((x - 1, y - 1, x + 1, y + 1), 15) == [Tile(15, 5515, 12651)]  # Tuolumne Meadows


@given(any_tile(max_zoom=MAX_ZOOM - 1))
def test_the_four_children_tile_their_parent_exactly(parent: Tile) -> None:
    z, x, y = parent
    children = {(i, j): Tile(z + 1, 2 * x + i, 2 * y + j) for i, j in itertools.product((0, 1), repeat=2)}
    left, bottom, right, top = bounds(parent)
    middle_x, middle_y = bounds(children[0, 0])[2], bounds(children[0, 0])[1]
    assert bounds(children[0, 0]) == (left, middle_y, middle_x, top)
    assert bounds(children[1, 0]) == (middle_x, middle_y, right, top)
    assert bounds(children[0, 1]) == (left, bottom, middle_x, middle_y)
    assert bounds(children[1, 1]) == (middle_x, bottom, right, middle_y)
    assert {ancestor(child, z) for child in children.values()} == {parent}
    assert covering(bounds(parent), z + 1) == sorted(children.values())


@given(any_tile(), st.integers(0, MAX_ZOOM))
def test_an_ancestor_contains_its_tile_and_no_finer_one_is_given(tile: Tile, z: int) -> None:
    if z > tile.z:
        with pytest.raises(ValueError, match=f"no ancestor at zoom {z}"):
            ancestor(tile, z)
        return
    above, below = bounds(ancestor(tile, z)), bounds(tile)
    assert above[0] <= below[0] < below[2] <= above[2]
    assert above[1] <= below[1] < below[3] <= above[3]


@given(any_tile())
def test_a_tiles_own_bounds_are_covered_by_it_alone(tile: Tile) -> None:
    assert covering(bounds(tile), tile.z) == [tile]


@given(st.data(), st.integers(0, 4))
@example(None, 3)
def test_covering_finds_the_tiles_that_a_look_at_every_tile_finds(data: st.DataObject | None, z: int) -> None:
    box = data.draw(any_box(z)) if data else (-2 * HALF_WORLD_M, -1.0, 2 * HALF_WORLD_M, 1.0)
    every = [Tile(z, x, y) for x in range(2**z) for y in range(2**z)]
    left, bottom, right, top = box

    def shares_area(tile: Tile) -> bool:
        l, b, r, t = bounds(tile)  # noqa: E741
        return l < right and r > left and b < top and t > bottom

    assert covering(box, z) == list(filter(shares_area, every))


NO_BOXES = [(1, 0, 0, 1), (0, 0, 0, 1), (0, 1, 1, 1), (0, 0, float("nan"), 1), (0, 0, 1, float("inf"))]


@pytest.mark.parametrize("box", NO_BOXES)
def test_a_box_without_area_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="left < right"):
        covering(box, 15)
