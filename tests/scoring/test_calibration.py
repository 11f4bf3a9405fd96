"""That probabilities mean what they say once they are calibrated, and that no class changes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snowcover.models.mapper import SnowMapper
from snowcover.scoring.calibration import (
    LEVELS,
    calibration_error,
    fitted_temperature,
    logit_counts,
    probability_histogram,
    reliability,
    temperature,
)


def survey(spread: float, true_temperature: float, pixels: int = 400_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [1, 1, 1, N] whose log odds are these over the true temperature, and what came true [1, 1, N]."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, spread, pixels).astype(np.float32)
    snow = rng.random(pixels) < 1 / (1 + np.exp(-logits / true_temperature))
    return torch.from_numpy(logits)[None, None, None], torch.from_numpy(snow.astype(np.uint8))[None, None]


@pytest.mark.parametrize(("spread", "true"), [(0.3, 0.1), (3.0, 1.0), (20.0, 8.0), (2000.0, 700.0)])
def test_the_temperature_that_made_the_labels_is_found_again(spread: float, true: float) -> None:
    counts = logit_counts(*survey(spread, true)).numpy()
    found = fitted_temperature(counts)
    assert found == pytest.approx(true, rel=0.02)
    assert calibration_error(counts, found) < 0.004
    if true != 1:
        assert calibration_error(counts, 1.0) > 0.03


def test_every_pixel_is_counted_by_its_logit_and_unobserved_ones_are_not() -> None:
    logits = torch.tensor([[[[-1.5, 0.25, 3e9, torch.nan, 7.0]]]])
    counts = logit_counts(logits, torch.tensor([[[0, 1, 1, 1, 255]]], dtype=torch.uint8)).numpy()
    halves = np.arange(LEVELS, dtype=np.uint16).view(np.float16)
    assert {(row, float(halves[level])) for row, level in zip(*np.nonzero(counts), strict=True)} == {
        (0, -1.5), (1, 0.25), (1, 65504.0), (1, 0.0),
    }  # fmt: skip
    assert counts.sum() == 4


@given(
    st.lists(st.tuples(st.floats(-60000, 60000, width=16), st.booleans()), min_size=1, max_size=40),
    st.floats(0.01, 100),
)
def test_sums_of_halves_are_those_of_the_pixels(pixels: list[tuple[float, bool]], cold: float) -> None:
    logits = np.array([logit for logit, _ in pixels])
    snow = np.array([is_snow for _, is_snow in pixels])
    counts = logit_counts(
        torch.tensor(logits, dtype=torch.float32)[None, None, None], torch.tensor(snow, dtype=torch.uint8)[None, None]
    ).numpy()
    with np.errstate(over="ignore"):
        said = 1 / (1 + np.exp(-logits / cold))
    places = np.minimum((said * 10).astype(int), 9)
    off = sum(abs(said[places == place].sum() - snow[places == place].sum()) for place in range(10))
    assert calibration_error(counts, cold) == pytest.approx(off / len(pixels), abs=1e-6)
    diagram = reliability(counts, cold)
    assert diagram.pixels.sum() == len(pixels) == probability_histogram(counts, cold, 256).sum()
    assert probability_histogram(counts, cold, 256)[:, 128:].sum() == (logits >= 0).sum()


def test_where_there_is_only_one_class_nothing_is_fitted() -> None:
    logits, snow = survey(1, 1, 100)
    assert fitted_temperature(logit_counts(logits, torch.ones_like(snow)).numpy()) is None
    assert fitted_temperature(np.zeros((2, LEVELS), np.int64)) is None
    assert calibration_error(np.zeros((2, LEVELS), np.int64), 1.0) is None


def test_a_runs_temperature_is_its_best_epochs() -> None:
    history = [{"val_iou": 0.5, "val_temperature": 3.0}, {"val_iou": 0.7, "val_temperature": 0.2}, {"val_iou": 0.6}]
    assert temperature(history) == 0.2
    assert temperature(history[2:]) == temperature([]) == 1.0


def test_a_calibrated_network_says_other_probabilities_and_the_same_classes() -> None:
    network = torch.nn.Conv2d(2, 1, 1)
    raw = torch.rand(1, 2, 70, 90) * 9000 + 1
    before, after = (SnowMapper(network, 1e-4, 0, [0.4] * 2, [0.2] * 2, cold)(raw) for cold in (1.0, 0.1))
    assert torch.equal(before >= 0.5, after >= 0.5)
    torch.testing.assert_close(after, (before.logit() * 10).sigmoid(), atol=1e-4, rtol=1e-4)
