"""The figures: what is drawn of what numbers, and in which colours."""

import io

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from snowcover.evaluate.figures import Picture, draw_figures
from snowcover.evaluate.figures.drawing import PRODUCT_COLOURS, SHARPNESS, Style
from snowcover.evaluate.figures.fractions import _points
from snowcover.evaluate.figures.maps import (
    FALSE,
    MISSED,
    NO_SNOW,
    RIGHT_NO_SNOW,
    RIGHT_SNOW,
    SNOW,
    UNOBSERVED,
    error_image,
    share_image,
)
from snowcover.evaluate.figures.scores import draw_scores
from snowcover.evaluate.figures.strata import without_unit
from snowcover.evaluate.results import Evaluation, FractionHistogram, Overview, Row
from snowcover.evaluate.selection import select


def test_each_kind_of_number_has_its_figure(pictures: list[Picture]) -> None:
    assert [picture.name for picture in pictures] == [
        "map_1", "map_2", "scores", "difference_1", "stratum_canopy_height", "depth_recall", "fsca_1_100m",
        "reliability", "snow_line", "depth_thresholds",
    ]  # fmt: skip
    for picture in pictures:
        image = Image.open(io.BytesIO(picture.png))
        assert image.size == (picture.width_px * SHARPNESS, picture.height_px * SHARPNESS)
        darkest, lightest = image.convert("L").getextrema()
        assert darkest < 120 and lightest == 255  # something is drawn
    assert [picture.name for picture in pictures if picture.narrow_png] == ["map_1", "map_2"]


def test_what_has_no_numbers_has_no_figure() -> None:
    nothing = Evaluation(("a",), (Row("a", "iou", None), Row("a", "iou", None, stratum="slope", bin="0-10°")), {}, ())
    assert draw_figures(nothing) == []


def test_a_score_without_an_interval_and_a_name_with_any_signs_is_drawn_the_same_each_time() -> None:
    name = "maps_$rf$ & <b>" + "x" * 60
    selection = select(Evaluation((name,), (Row(name, "iou", 0.5), Row(name, "f1", None)), {}, ()))
    first, again = (list(draw_scores(selection, Style.of((name,)))) for _ in range(2))
    assert first == again
    assert len(first) == 1


def test_errors_have_a_colour_each_and_what_is_not_counted_is_pale() -> None:
    reference = np.array([[0.0, 1.0, 1.0, 0.0, 0.5, np.nan, 1.0, 1.0]], np.float32)
    share = np.array([[0.2, 0.6, 0.4, 0.9, 0.5, 1.0, np.nan, 0.0]], np.float32)
    counted = np.array([[True] * 7 + [False]])
    found = error_image(share, Overview(reference, {}, 3.0, counted))[0]
    wanted = [RIGHT_NO_SNOW, RIGHT_SNOW, MISSED, FALSE, RIGHT_SNOW, UNOBSERVED, UNOBSERVED]
    assert np.allclose(found[:7], [to_rgb(colour) for colour in wanted])
    assert np.all(found[7] > to_rgb(MISSED))


def test_snow_share_goes_from_the_colour_of_no_snow_to_that_of_snow() -> None:
    found = share_image(np.array([[0, 0.5, 1, np.nan]], np.float32))[0]
    ends = np.array([to_rgb(NO_SNOW), to_rgb(SNOW)])
    assert np.allclose(found, [ends[0], ends.mean(axis=0), ends[1], to_rgb(UNOBSERVED)])


def test_hexagons_hold_all_cells_where_they_are() -> None:
    cells = np.zeros((10, 10), np.int64)
    cells[2, 7], cells[9, 9] = 8, 3
    reference, product, weight = _points(FractionHistogram(cells))
    assert weight.sum() == 11
    assert np.average(reference[weight < 0.2], weights=weight[weight < 0.2]) > 0.9
    here = weight > 0.2
    assert np.allclose([reference[here].mean(), product[here].mean()], [0.25, 0.75])


def test_a_product_has_one_colour_in_all_figures() -> None:
    style = Style.of([f"product {number}" for number in range(20)])
    assert style.colours["product 1"] == PRODUCT_COLOURS[1]
    assert len({(style.colours[name], style.markers[name]) for name in style.colours}) == 21  # and the reference's


def test_the_unit_of_all_bins_is_given_once() -> None:
    assert without_unit(["0-0.5 m", "2,500-2,600 m", "20 m or more"]) == ("m", ["0-0.5", "2,500-2,600", "20 or more"])
    assert without_unit(["0-10°", "40° or more"]) == ("°", ["0-10", "40 or more"])
    assert without_unit(["open, 0-3 m", "under canopy, 27 m or more"])[0] == "m"
    assert without_unit(["north", "south-east"]) == ("", ["N", "SE"])
    assert without_unit(["20180528_a", "0-3 m"]) == ("", ["20180528_a", "0-3 m"])
