"""What a checkpoint says of its run: saved and read as it was, and refused where it cannot be right."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snowcover import checkpoints
from snowcover.checkpoints import METADATA, BadCheckpoint
from snowcover.data.layer_facts import LayerNumbers
from snowcover.run_metadata import FORMAT, RunMetadata

REQUIRED: dict[str, Any] = {
    "config": {"seed": 0},
    "bands": ["red"],
    "scale": 1e-4,
    "offset": 0.0,
    "mean": [0.2],
    "std": [0.1],
}
FINITE = st.floats(-1e6, 1e6)
ROWS = st.lists(st.builds(lambda epoch, iou: {"epoch": epoch, "val_iou": iou}, st.integers(0, 99), FINITE), max_size=3)
STEPS = st.lists(st.tuples(st.integers(0, 10**6), FINITE, FINITE), max_size=3)


@given(ROWS, STEPS, st.none() | st.integers(0, 20), st.none() | st.text(max_size=5), st.booleans())
def test_a_record_is_read_as_it_was_saved(
    history: list[dict[str, int | float]], steps: list[tuple[int, float, float]], zoom: int | None, run_id: str | None,
    layers: bool,
) -> None:  # fmt: skip
    numbers = LayerNumbers(("elevation",), (2500.0,), (300.0,)) if layers else LayerNumbers()
    saved = RunMetadata(**REQUIRED, history=history, steps=steps, zoom=zoom, run_id=run_id, layers=numbers)
    assert RunMetadata.of({METADATA: saved.to_dict()}, "x") == saved


def test_a_checkpoint_holds_it_as_data_alone(tmp_path: Path) -> None:
    forest = {"roots": torch.tensor([0, 3])}
    saved = RunMetadata(**REQUIRED, forest=forest, steps=[(1, 0.5, 1e-3)], forest_val=[1, 2, 3, 4])
    checkpoints.save({"state_dict": {"w": torch.zeros(1)}, METADATA: saved.to_dict()}, tmp_path / "best.ckpt")
    read = RunMetadata.of(checkpoints.load(str(tmp_path / "best.ckpt")), "best.ckpt")
    assert read is not None
    assert read.forest is not None
    assert torch.equal(read.forest["roots"], forest["roots"])
    assert (read.steps, read.forest_val, read.format) == ([(1, 0.5, 1e-3)], [1, 2, 3, 4], FORMAT)


def test_a_checkpoint_of_another_project_says_nothing() -> None:
    assert RunMetadata.of({"state_dict": {}}, "published.pth") is None


def test_a_record_from_before_there_were_layers_and_formats_is_read() -> None:
    read = RunMetadata.of({METADATA: REQUIRED}, "old.ckpt")
    assert read == RunMetadata(**REQUIRED)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": FORMAT + 1},
            rf"best\.ckpt was saved by a newer snowcover \(format {FORMAT + 1}\): update this one",
        ),
        ({"mean": None}, r"best\.ckpt cannot be read as one of our checkpoints \(mean: input should be a valid list\)"),
        ({"zoom": "near"}, r"\(zoom: input should be a valid integer"),
        ({"history": [{"val_iou": "high"}]}, r"\(history\.0\.val_iou\.\w+: input should be"),
    ],
)
def test_what_cannot_be_a_record_is_refused_by_its_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadCheckpoint, match=message):
        RunMetadata.of({METADATA: REQUIRED | changes}, "best.ckpt")


def test_a_record_without_a_required_field_is_refused() -> None:
    values = {name: value for name, value in REQUIRED.items() if name != "bands"}
    with pytest.raises(BadCheckpoint, match=r"\(bands: field required\): give another"):
        RunMetadata.of({METADATA: values}, "best.ckpt")


def test_a_copy_is_extended_alone() -> None:
    saved = RunMetadata(**REQUIRED, history=[{"epoch": 0}], steps=[(1, 0.5, 1e-3)])
    copy = saved.copy()
    copy.history.append({"epoch": 1})
    copy.steps += [(2, 0.4, 1e-3)]
    assert (len(saved.history), len(saved.steps)) == (1, 1)
