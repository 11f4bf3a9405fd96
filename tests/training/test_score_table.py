"""What is told of a run whose scores are these."""

from snowcover.training.score_table import description, score_lines, verdict

RESULT = {
    "best_epoch": 7,
    "run_id": "5" * 32,
    "val": {"iou": 0.7, "loss": 0.4, "forest_iou": 0.6, "brightness_iou": 0.5},
    "test": {"iou": 0.75, "f1": 0.8571, "forest_iou": 0.8, "forest_f1": 0.9, "brightness_iou": 0.5},
}
WITHOUT_FOREST = {**RESULT, "val": {"iou": 0.7}, "test": {"iou": 0.75, "brightness_iou": 0.5}}


def test_the_table_has_a_column_for_each_that_was_scored() -> None:
    assert score_lines(RESULT) == [
        "          network  forest  brightness",
        "val iou     0.700   0.600       0.500",
        "test iou    0.750   0.800       0.500",
        "test f1     0.857   0.900            ",
    ]
    assert score_lines(WITHOUT_FOREST)[0].split() == ["network", "brightness"]


def test_whatever_does_better_than_the_network_is_named() -> None:
    assert verdict(RESULT) == (
        "The network is worse than a random forest that sees single pixels (test IoU 0.750 against 0.800): train it "
        "longer or otherwise, or map with=forest."
    )
    assert verdict(WITHOUT_FOREST) is None
    dim = {**RESULT, "test": {"iou": 0.4, "forest_iou": 0.45, "brightness_iou": 0.5}}
    assert "worse than a plain brightness threshold (test IoU 0.400 against 0.500)" in str(verdict(dim))
    assert verdict({**RESULT, "test": {"forest_iou": 0.8}}) is None  # nothing to compare


def test_a_description_written_again_keeps_what_somebody_else_wrote_above() -> None:
    ours = description(RESULT)
    assert ours.splitlines()[2:6] == [
        "|  | network | forest | brightness |",
        "| --- | --- | --- | --- |",
        "| val iou | 0.700 | 0.600 | 0.500 |",
        "| test iou | 0.750 | 0.800 | 0.500 |",
    ]
    assert description(RESULT, ours) == ours
    both = description(RESULT, "For the paper.\n")
    assert both == f"For the paper.\n\n{ours}"
    assert description(RESULT, both) == both
