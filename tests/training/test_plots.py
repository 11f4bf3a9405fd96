"""The pictures of a run: what they compute, what they say, and the colours at known places."""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, jaccard_score
from sklearn.metrics import precision_recall_curve as reference_curve

from snowcover import storage
from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.scoring.calibration import Reliability
from snowcover.training.plots import drawing, learning, scores, split, tiles
from snowcover.training.plots.drawing import GREY
from snowcover.training.plots.tiles import COLOURS, FALSE_SNOW, MISSED_SNOW, TilePicture

BANDS = ["blue", "green", "red", "nir"]
EVEREST = Path(__file__).parents[2] / "../shared/data/everest_tiles"
TRUE_COLOUR, FALSE_COLOUR, MASK, PROBABILITY, ERRORS = range(5)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Figure]]:
    """The figures that were saved, to read what they say."""
    figures: list[Figure] = []
    draw: Any = FigureCanvasAgg.draw

    def remember(canvas: FigureCanvasAgg, *args: Any) -> None:
        draw(canvas, *args)
        figures.append(canvas.figure)

    monkeypatch.setattr(FigureCanvasAgg, "draw", remember)
    yield figures


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def in_panel(picture: np.ndarray, column: int, x: float, y: float, row: int = 0) -> tuple[int, ...]:
    """The colour at a share (x, y) of a panel of the tile picture."""
    left = tiles.GAP + column * (tiles.PANEL + tiles.GAP)
    top = tiles.HEAD + row * (tiles.ROW_TITLE + tiles.PANEL) + tiles.ROW_TITLE
    return tuple(int(v) for v in picture[int(top + y * tiles.PANEL), int(left + x * tiles.PANEL)])


def colour(name: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(name))


def cividis(probability: float) -> tuple[int, ...]:
    return tuple(int(v) for v in drawing.PROBABILITY(probability, bytes=True)[:3])


def quarters(top_left: float, top_right: float, low_left: float, low_right: float) -> np.ndarray:
    """[64, 64] of four quarters."""
    return np.kron(np.array([[top_left, top_right], [low_left, low_right]]), np.ones((32, 32)))


def quartered(name: str = "scene 13/1/2") -> TilePicture:
    """Snow found, snow missed, false snow on red rock, and nodata that the mask calls snow, by quarters."""
    green = quarters(9000, 9000, 500, 0)
    image = np.stack([green, green, quarters(9000, 9000, 9000, 0), quarters(6000, 500, 500, 0)])
    image[:, :2] = 500  # some dark pixels, so that each band has a range
    mask, probability = quarters(1, 1, 0, 1).astype(np.uint8), quarters(1.0, 0.2, 0.8, 0.9)
    return TilePicture(name, image.astype(np.uint16), mask, probability)


def many(rows: int, side_px: int = 16) -> list[TilePicture]:
    rng = np.random.default_rng(0)
    return [
        TilePicture(
            f"20180528_scene 15/{row}/7",
            rng.integers(1, 10_000, (4, side_px, side_px), np.uint16),
            rng.integers(0, 2, (side_px, side_px), np.uint8),
            rng.random((side_px, side_px), np.float32),
        )
        for row in range(rows)
    ]


def test_each_pixel_falls_into_the_error_class_that_mask_and_prediction_give_it() -> None:
    mask = np.array([[1, 1, 0, 0], [255, 255, 1, 0]], np.uint8)
    probability = np.array([[0.9, 0.1, 0.9, 0.1], [0.9, 0.1, 0.5, 0.5]])
    expected = [[SNOW, MISSED_SNOW, FALSE_SNOW, BARE], [UNOBSERVED, UNOBSERVED, SNOW, FALSE_SNOW]]
    assert tiles.error_classes(mask, probability).tolist() == expected
    assert tiles.error_classes(mask, probability, threshold=0.95).tolist() == [
        [MISSED_SNOW, MISSED_SNOW, BARE, BARE],
        [UNOBSERVED, UNOBSERVED, MISSED_SNOW, BARE],
    ]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([0, 1, 255]), st.floats(0, 1)), min_size=1), st.floats(0, 1))
def test_error_classes_count_what_scikit_learn_counts(given_pixels: list[Any], threshold: float) -> None:
    mask, probability = (np.array(column) for column in zip(*given_pixels, strict=True))
    classes = tiles.error_classes(mask.astype(np.uint8), probability, threshold)
    seen = mask != 255
    if seen.any():
        expected = confusion_matrix(mask[seen], probability[seen] >= threshold, labels=[0, 1]).ravel()
        assert [np.sum(classes == code) for code in (BARE, FALSE_SNOW, MISSED_SNOW, SNOW)] == expected.tolist()
    assert np.array_equal(classes == UNOBSERVED, ~seen)


scored_pixels = st.integers(1, 16).flatmap(
    lambda bins: st.tuples(
        st.just(bins),
        st.lists(st.tuples(st.booleans(), st.integers(0, bins - 1)), min_size=1, max_size=60).filter(
            lambda each: any(snow for snow, _ in each)
        ),
    )
)


@settings(max_examples=50)
@given(scored_pixels)
def test_the_curve_is_scikit_learns_at_every_bin_that_holds_a_pixel(case: tuple[int, list[Any]]) -> None:
    bins, each = case
    snow, index = (np.array(column) for column in zip(*each, strict=True))
    centres = (index + 0.5) / bins
    counts = [np.histogram(centres[snow == side], bins, (0, 1))[0] for side in (True, False)]
    curve = scores.curve(*counts)
    precision, recall, thresholds = reference_curve(snow, centres)
    at = np.searchsorted(curve.thresholds, thresholds, side="right") - 1
    np.testing.assert_allclose(curve.precision[at], precision[:-1])
    np.testing.assert_allclose(curve.recall[at], recall[:-1])
    assert curve.average_precision == pytest.approx(average_precision_score(snow, centres))
    assert curve.thresholds[-1] * bins == pytest.approx(index.max())  # above, nothing is called snow
    for threshold, f1, iou in zip(curve.thresholds, curve.f1, curve.iou, strict=True):
        called = index >= round(threshold * bins)
        assert f1 == pytest.approx(f1_score(snow, called))
        assert iou == pytest.approx(jaccard_score(snow, called))


def test_a_curve_without_snow_is_empty_and_one_without_bare_ground_is_all_precise() -> None:
    assert scores.curve(np.zeros(4), np.ones(4)).thresholds.size == 0
    assert scores.curve(np.zeros(4), np.zeros(4)).thresholds.size == 0
    only_snow = scores.curve(np.array([1, 0, 3, 0]), np.zeros(4))
    assert only_snow.precision.tolist() == [1, 1, 1]
    assert only_snow.recall.tolist() == [1, 0.75, 0.75]
    with pytest.raises(ValueError, match="same bins"):
        scores.curve(np.ones(4), np.ones(5))


def test_the_tile_picture_shows_each_quarter_in_its_colour(tmp_path: Path, drawn: list[Figure]) -> None:
    tiles.draw_tiles(tmp_path / "tiles.png", [quartered()], BANDS)
    picture = pixels(tmp_path / "tiles.png")
    columns = (TRUE_COLOUR, FALSE_COLOUR, MASK, PROBABILITY, ERRORS)
    seen = {
        place: [in_panel(picture, column, x, y) for column in columns]
        for place, x, y in (
            ("found", 0.25, 0.25),
            ("missed", 0.75, 0.25),
            ("rock", 0.25, 0.75),
            ("nodata", 0.75, 0.75),
        )
    }
    white, cyan, red, green = (255, 255, 255), (0, 255, 255), (255, 0, 0), (0, 255, 0)
    snow, bare = colour(COLOURS[SNOW]), colour(COLOURS[BARE])
    assert seen["found"] == [white, white, snow, cividis(1.0), snow]
    assert seen["missed"] == [white, cyan, snow, cividis(0.2), colour(COLOURS[MISSED_SNOW])]
    assert seen["rock"] == [red, green, bare, cividis(0.8), colour(COLOURS[FALSE_SNOW])]
    assert seen["nodata"] == [colour(GREY)] * 5
    assert "scene 13/1/2:  IoU 0.333 at threshold 0.5" in words(drawn[0])


def test_every_row_has_its_own_stretch_and_place(tmp_path: Path) -> None:
    dim = quartered()
    dim = TilePicture("dim", dim.image // 10, dim.mask, dim.probability)
    tiles.draw_tiles(tmp_path / "tiles.png", [quartered(), dim], BANDS)
    picture = pixels(tmp_path / "tiles.png")
    assert in_panel(picture, TRUE_COLOUR, 0.25, 0.25, row=1) == (255, 255, 255)
    assert in_panel(picture, ERRORS, 0.25, 0.75, row=1) == colour(COLOURS[FALSE_SNOW])


def test_the_keys_name_every_category_and_stay_inside_the_picture(tmp_path: Path, drawn: list[Figure]) -> None:
    tiles.draw_tiles(tmp_path / "tiles.png", many(2), BANDS)
    said = words(drawn[0])
    for name in (
        *tiles.MASK_NAMES.values(),
        *tiles.ERROR_NAMES.values(),
        "red, green, blue",
        "nir, red, green",
    ):
        assert name in said
    frame = drawn[0].bbox
    for text in drawn[0].findobj(Text):
        if text.get_text():
            box = text.get_window_extent()
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1


@pytest.mark.parametrize(
    ("bands", "headings"),
    [
        (["vv", "vh", "dem"], ["Pseudo-colour\nvv, vh, dem", "One band\ndem"]),
        (["blue", "green", "red"], ["True colour\nred, green, blue", "One band\nred"]),
        (["nir", "red", "green"], ["Pseudo-colour\nnir, red, green", "False colour\nnir, red, green"]),
        (["a", "b"], ["One band\na", "One band\nb"]),
        (["pan"], ["One band\npan", "One band\npan"]),
    ],
)
def test_other_bands_fall_back_on_what_there_is(
    tmp_path: Path, drawn: list[Figure], bands: list[str], headings: list[str]
) -> None:
    tile = quartered()
    tile = TilePicture(tile.name, tile.image[: len(bands)], tile.mask, tile.probability)
    tiles.draw_tiles(tmp_path / "tiles.png", [tile], bands)
    for heading in headings:
        assert heading in words(drawn[0])
    if len(bands) < 3:
        red, green, blue = in_panel(pixels(tmp_path / "tiles.png"), TRUE_COLOUR, 0.25, 0.75)
        assert red == green == blue


@pytest.mark.parametrize("rows", [0, 9])
def test_the_tile_picture_refuses_other_than_1_to_8_rows(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 8 rows, got {rows}"):
        tiles.draw_tiles(tmp_path / "tiles.png", many(rows), BANDS)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error")
def test_odd_tiles_are_drawn_all_the_same(tmp_path: Path, drawn: list[Figure]) -> None:
    flat, zero = np.full((4, 16, 16), 700, np.uint16), np.zeros((16, 16), np.uint8)
    bare = np.zeros((16, 16), np.float32)
    hole = np.arange(16) < 8
    odd = [
        TilePicture("all nodata", flat * 0, zero, bare),
        TilePicture("all unobserved", flat, zero + 255, bare),
        TilePicture("flat and bare", flat, zero, bare),
        TilePicture("name with $ and _ and \\frac", flat, zero + 1, bare),
        TilePicture(
            "half precision, with a hole",
            np.where(hole, np.nan, flat.astype(np.float16)),
            zero,
            bare + np.nan,
        ),
        TilePicture("another size", flat[:, :1, :1], zero[:1, :1], bare[:1, :1]),
    ]
    tiles.draw_tiles(tmp_path / "tiles.png", odd, BANDS)
    said = words(drawn[0])
    assert "all nodata:  no snow in mask or prediction, so no IoU, at threshold 0.5" in said
    assert "name with $ and _ and \\frac:  IoU 0.000 at threshold 0.5" in said
    picture = pixels(tmp_path / "tiles.png")
    assert in_panel(picture, TRUE_COLOUR, 0.5, 0.5, row=0) == colour(GREY)
    assert in_panel(picture, ERRORS, 0.5, 0.5, row=1) == colour(GREY)
    assert in_panel(picture, TRUE_COLOUR, 0.5, 0.5, row=2) == (127, 127, 127)
    assert in_panel(picture, TRUE_COLOUR, 0.2, 0.5, row=4) == colour(GREY)
    assert in_panel(picture, TRUE_COLOUR, 0.8, 0.5, row=4) == (127, 127, 127)


def test_four_rows_of_real_imagery_stay_below_one_and_a_half_megabytes(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    files = sorted(EVEREST.glob("images/*/13/607[12]/343[0-2].tif"))[:4]  # wholly observed, so the largest
    if not files:
        pytest.skip(f"no real tiles at {EVEREST}")
    samples = []
    for file in files:
        with rasterio.open(file) as source:
            image = source.read()
        with rasterio.open(EVEREST / "masks/everest_weak" / Path(*file.parts[-3:])) as source:
            samples.append(TilePicture(file.stem, image, source.read(1), (image[0] / 10_200).astype(np.float32)))
    tiles.draw_tiles(tmp_path / "tiles.png", samples, BANDS)
    assert (tmp_path / "tiles.png").stat().st_size < 1_600_000


def test_the_confusion_matrix_writes_counts_and_both_shares(tmp_path: Path, drawn: list[Figure]) -> None:
    scores.draw_confusion(tmp_path / "confusion.png", tp=60, fp=30, fn=20, tn=90, title="Test")
    said = words(drawn[0])
    for line in (
        "Test\n200 observed pixels",
        "75.0%",
        "25.0%",
        "TP: 60\n30.0% of all pixels",
        "FN: 20\n10.0% of all",
    ):
        assert line in said
    shares: Any = drawn[0].axes[0].images[0].get_array()
    assert shares.tolist() == [
        [0.75, 0.25],
        [0.25, 0.75],
    ]  # rows: reference snow, no snow; columns: predicted
    assert colour_at(drawn[0], tmp_path / "confusion.png", 0.4, 0.4) == cividis(0.75)
    assert colour_at(drawn[0], tmp_path / "confusion.png", 1.4, 0.4) == cividis(0.25)


def colour_at(figure: Figure, path: Path, x: float, y: float) -> tuple[int, ...]:
    """The colour at a place in the first axes' own coordinates."""
    picture = pixels(path)
    column, row = figure.axes[0].transData.transform((x, y))
    return tuple(int(v) for v in picture[int(picture.shape[0] - row), int(column)])


def test_a_confusion_matrix_without_snow_or_without_pixels_says_so(tmp_path: Path, drawn: list[Figure]) -> None:
    scores.draw_confusion(tmp_path / "no_snow.png", tp=0, fp=1, fn=0, tn=3, title="Test")
    assert words(drawn[0]).count("no such pixels") == 2
    assert colour_at(drawn[0], tmp_path / "no_snow.png", 0.4, 0.4) == colour(GREY)
    scores.draw_confusion(tmp_path / "nothing.png", tp=0, fp=0, fn=0, tn=0, title="Test")
    assert "No pixel was observed" in words(drawn[1])


def test_precision_recall_marks_the_default_and_the_best_threshold(tmp_path: Path, drawn: list[Figure]) -> None:
    snow, bare = np.array([0, 10, 20, 70]), np.array([60, 35, 0, 5])
    scores.draw_precision_recall(tmp_path / "pr.png", snow, bare, "Test")
    said = words(drawn[0])
    # 90 of 100 found at 0.5 with 5 false; 100 with 40 false at 0.25, 70 with 5 false at 0.75
    assert "default, threshold 0.50: precision 0.947, recall 0.900" in said
    assert "best F1, threshold 0.50: F1 0.923, IoU 0.857" in said
    assert "calling every pixel snow: precision 0.50" in said
    average = 0.7 * 70 / 75 + 0.2 * 90 / 95 + 0.1 * 100 / 140
    assert f"Test: average precision {average:.3f}" in said
    assert "\nF1 0.8\n" in said  # a named line of equal F1
    assert (pixels(tmp_path / "pr.png") == colour(drawing.FIRST)).all(axis=-1).sum() > 500


@pytest.mark.parametrize(
    ("snow", "bare", "sentence"),
    [
        ([0, 0], [3, 1], "No observed pixel is snow"),
        ([0, 0], [0, 0], "No observed pixel is snow"),
        ([3, 1], [0, 0], "Every observed pixel is snow"),
        ([3, 0], [4, 0], "no pixel is called snow at the default threshold 0.50"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_precision_recall_says_what_cannot_be_drawn(
    tmp_path: Path, drawn: list[Figure], snow: list[int], bare: list[int], sentence: str
) -> None:
    scores.draw_precision_recall(tmp_path / "pr.png", np.array(snow), np.array(bare))
    assert sentence in words(drawn[0])


def test_precision_recall_wants_a_half_among_its_thresholds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="even number of bins, got 5"):
        scores.draw_precision_recall(tmp_path / "pr.png", np.ones(5), np.ones(5))


def test_the_reliability_diagram_says_how_far_off_the_probabilities_are(tmp_path: Path, drawn: list[Figure]) -> None:
    said = np.array([0.35, np.nan, 0.65])
    before = Reliability(said, np.array([0.05, np.nan, 0.95]), np.array([30, 0, 10]))
    after = Reliability(np.array([0.05, np.nan, 0.94]), np.array([0.05, np.nan, 0.95]), np.array([30, 0, 10]))
    scores.draw_reliability(tmp_path / "a.png", before, after, 0.1234, title="Test tiles")
    text = words(drawn[0])
    assert "as the network says it: off by 0.300 on average" in text
    assert "calibrated (temperature 0.123): off by 0.003 on average" in text  # a quarter of the pixels, by 0.01
    nothing = Reliability(np.full(3, np.nan), np.full(3, np.nan), np.zeros(3, int))
    scores.draw_reliability(tmp_path / "b.png", nothing, nothing, 1.0)
    assert "No pixel was observed" in words(drawn[1])


def test_learning_curves_pass_over_what_an_epoch_did_not_record(tmp_path: Path, drawn: list[Figure]) -> None:
    history = [
        {"epoch": 2, "train_loss": 0.2, "val_iou": 0.7, "lr": 1e-5},
        {"epoch": 0, "train_loss": 0.4, "val_iou": 0.6, "lr": 1e-3},
        {"epoch": 1, "train_loss": float("inf")},
    ]
    learning.draw_learning_curves(tmp_path / "curves.png", history)
    loss, iou, rate = drawn[0].axes
    np.testing.assert_array_equal(loss.lines[0].get_data(), [[0, 1, 2], [0.4, np.nan, 0.2]])
    np.testing.assert_array_equal(iou.lines[0].get_data(), [[0, 2], [0.6, 0.7]])
    np.testing.assert_array_equal(rate.lines[0].get_data(), [[0, 2], [1e-3, 1e-5]])
    assert "best val: 0.700 at epoch 2" in words(drawn[0])
    assert all(float(tick).is_integer() for tick in rate.get_xticks())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("history", [[], [{"epoch": 3}], [{"epoch": 0, "val_iou": float("nan"), "lr": 0.0}]])
def test_learning_curves_of_next_to_nothing_are_drawn(
    tmp_path: Path, drawn: list[Figure], history: list[dict[str, float]]
) -> None:
    learning.draw_learning_curves(tmp_path / "curves.png", history)
    assert ("not recorded" if history else "No epoch has ended yet.") in words(drawn[0])
    assert "best" not in words(drawn[0])


def test_the_split_map_colours_each_tile_by_its_split_with_north_up(tmp_path: Path, drawn: list[Figure]) -> None:
    path = tmp_path / "split.png"
    placed = [
        (13, 6070, 3430, "train"),
        (13, 6071, 3430, "val"),
        (13, 6070, 3431, "test"),
        (13, 6070, 3430, "train"),
    ]
    split.draw_split_map(path, [*placed, (13, 6071, 3431, "train"), (13, 6071, 3431, "test")])
    assert colour_at(drawn[0], path, 6070, 3430) == colour(split.SPLITS["train"])
    assert colour_at(drawn[0], path, 6071, 3430) == colour(split.SPLITS["val"])
    assert colour_at(drawn[0], path, 6070, 3431) == colour(split.SPLITS["test"])
    assert colour_at(drawn[0], path, 6071, 3431) == colour(split.OTHER_SPLITS[0])
    axes = drawn[0].axes[0]
    assert axes.transData.transform((6070, 3431))[1] < axes.transData.transform((6070, 3430))[1]
    said = words(drawn[0])
    for line in ("Split of 4 tiles", "train: 1", "val: 1", "test: 1", "train and test: 1", "4.3 km wide"):
        assert line in said


def test_the_split_map_lays_a_coarser_tile_over_the_finer_ones_it_covers(tmp_path: Path, drawn: list[Figure]) -> None:
    path = tmp_path / "split.png"
    split.draw_split_map(path, [(1, 0, 0, "val"), (3, 5, 1, "train")])
    assert colour_at(drawn[0], path, 0, 0) == colour_at(drawn[0], path, 3, 3) == colour(split.SPLITS["val"])
    assert colour_at(drawn[0], path, 4, 1) == (255, 255, 255)
    assert colour_at(drawn[0], path, 5, 1) == colour(split.SPLITS["train"])
    split.draw_split_map(path, [])
    assert "There are no tiles to show." in words(drawn[1])


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new folder" / "confusion.png"
    scores.draw_confusion(path, 1, 2, 3, 4)
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken, pytest.raises(storage.StorageError, match=r"confusion\.png"):
        broken.setattr(os, "replace", refuse)
        scores.draw_confusion(path, 4, 3, 2, 1)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["confusion.png"]


def test_pictures_drawn_in_threads_are_those_drawn_alone(tmp_path: Path) -> None:
    samples = many(1)
    tiles.draw_tiles(tmp_path / "alone.png", samples, BANDS)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: tiles.draw_tiles(tmp_path / f"{name}.png", samples, BANDS), range(4)))
    alone = (tmp_path / "alone.png").read_bytes()
    assert all((tmp_path / f"{name}.png").read_bytes() == alone for name in range(4))


def test_pyplot_and_its_global_state_are_never_loaded() -> None:
    lines = "import sys, snowcover.training.plots; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
