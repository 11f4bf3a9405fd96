"""The line of an epoch: what a training prints, the launcher and SageMaker read."""

import re

from hypothesis import given
from hypothesis import strategies as st

from snowcover.epoch_line import SCORES, SPEED, format_epoch, metric_patterns, progress_of

SHARE = st.floats(0, 1)


@given(
    st.integers(0, 999),
    st.integers(1, 999),
    st.fixed_dictionaries({}, optional=dict.fromkeys(SCORES, SHARE)),
    SHARE,
)
def test_each_number_of_the_line_is_found_by_its_pattern(
    index: int, epochs: int, scores: dict[str, float], speed: float
) -> None:
    line = format_epoch({"epoch": index, **scores, SPEED: speed}, epochs)
    found = {name: match[1] for name, pattern in metric_patterns().items() if (match := re.search(pattern, line))}
    expected = {name: f"{value:.4f}" for name, value in scores.items()}
    assert found == {"epoch": str(index + 1), SPEED: f"{speed:.2f}", **expected}


@given(st.integers(0, 999), st.integers(1, 999), SHARE)
def test_the_launcher_shows_epoch_and_objective(index: int, epochs: int, iou: float) -> None:
    line = format_epoch({"epoch": index, "train_loss": 0.5, "val_iou": iou, SPEED: 5.0}, epochs)
    assert progress_of(line) == f"epoch {index + 1}/{epochs}, val_iou {iou:.4f}"
    without = format_epoch({"epoch": index, "train_loss": 0.5, SPEED: 5.0}, epochs)
    assert progress_of(without) == f"epoch {index + 1}/{epochs}"


def test_other_lines_show_no_progress() -> None:
    assert progress_of("  training  60 epochs, batches of 2") is None
