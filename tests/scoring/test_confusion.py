import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from snowcover.scoring.confusion import Counts, confusion, scores

pixels = st.lists(st.tuples(st.booleans(), st.sampled_from([0, 1, 255])), min_size=1, max_size=60)


@given(pixels)
def test_scores_are_scikit_learns_wherever_they_are_defined(drawn: list[tuple[bool, int]]) -> None:
    snow, mask = torch.tensor([p for p, _ in drawn]), torch.tensor([m for _, m in drawn], dtype=torch.uint8)
    found = scores(Counts(*confusion(snow, mask).tolist()))
    observed = (mask != 255).numpy()
    truth, predicted = mask.numpy()[observed], snow.numpy()[observed].astype(int)
    if not observed.any():
        assert found == {}
        return
    both = len(set(truth)) == 2
    expected = {
        "accuracy": reference.accuracy_score(truth, predicted),
        "iou": reference.jaccard_score(truth, predicted) if (truth | predicted).any() else None,
        "precision": reference.precision_score(truth, predicted) if predicted.any() else None,
        "recall": reference.recall_score(truth, predicted) if truth.any() else None,
        "f1": reference.f1_score(truth, predicted) if (truth | predicted).any() else None,
        "balanced_accuracy": reference.balanced_accuracy_score(truth, predicted) if both else None,
        "kappa": reference.cohen_kappa_score(truth, predicted, labels=[0, 1])
        if len({*truth, *predicted}) == 2
        else None,
        "mcc": reference.matthews_corrcoef(truth, predicted) if both and len(set(predicted)) == 2 else None,
    }
    for name, value in expected.items():
        assert found.get(name) == (None if value is None else pytest.approx(value, abs=1e-12)), name
    if "mean_iou" in found:
        assert found["mean_iou"] == pytest.approx(reference.jaccard_score(truth, predicted, average=None).mean())


def test_unobserved_pixels_count_nowhere() -> None:
    mask = torch.tensor([[1, 0, 255, 255]], dtype=torch.uint8)
    assert confusion(torch.tensor([[True, True, True, False]]), mask).tolist() == [1, 1, 0, 0]


def test_precision_is_the_share_of_predicted_snow_and_recall_that_of_true_snow() -> None:
    found = scores(Counts(tp=6, fp=2, fn=4, tn=8))
    assert found["precision"] == 0.75
    assert found["recall"] == 0.6


def test_counts_of_large_epochs_do_not_overflow() -> None:
    huge = scores(Counts(tp=10**12, fp=10**12, fn=10**12, tn=10**12))
    assert np.isclose(huge["mcc"], 0)
    assert np.isclose(huge["iou"], 1 / 3)
