"""Losses of others, that know of no mask: fitted to one, or refused."""

from typing import Any

import pytest
import segmentation_models_pytorch.losses as smp
import torch
from torch import Tensor, nn

from snowcover.component_checks import make_loss
from snowcover.losses.fitting import for_masks
from snowcover.losses.lovasz import LovaszHinge
from snowcover.losses.weighted import WeightedSum
from snowcover.validation import ConfigError

MASK = torch.tensor([[[1, 0, 1], [0, 255, 255]], [[0, 0, 1], [1, 1, 255]]], dtype=torch.uint8)
LOGITS = torch.linspace(-2, 3, 12).reshape(2, 1, 2, 3)
OBSERVED = MASK != 255


def observed() -> tuple[Tensor, Tensor]:
    return LOGITS[:, 0][OBSERVED], MASK[OBSERVED].float()


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (nn.BCEWithLogitsLoss(), lambda x, y: nn.functional.binary_cross_entropy_with_logits(x, y)),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)),
         lambda x, y: -(3 * y * x.sigmoid().log() + (1 - y) * (-x).sigmoid().log()).mean()),
        (nn.BCELoss(), lambda x, y: nn.functional.binary_cross_entropy_with_logits(x, y)),
        (nn.SoftMarginLoss(), lambda x, y: (1 + (-(2 * y - 1) * x).exp()).log().mean()),
        (nn.MSELoss(), lambda x, y: ((x.sigmoid() - y) ** 2).mean()),
        (nn.functional.binary_cross_entropy_with_logits,
         lambda x, y: nn.functional.binary_cross_entropy_with_logits(x, y)),
        (smp.SoftBCEWithLogitsLoss(smooth_factor=0.1),
         lambda x, y: nn.functional.binary_cross_entropy_with_logits(x, y * 0.9 + (1 - y) * 0.1)),
    ],
)  # fmt: skip
def test_a_loss_of_others_scores_what_was_observed(loss: Any, expected: Any) -> None:
    fitted = for_masks(loss, "it")
    assert fitted(LOGITS, MASK).item() == pytest.approx(expected(*observed()).item(), rel=1e-5)
    unseen = LOGITS.clone().requires_grad_()
    fitted(unseen, MASK).backward()
    assert unseen.grad is not None
    assert (unseen.grad[:, 0][~OBSERVED] == 0).all()


@pytest.mark.parametrize("loss", [LovaszHinge(), smp.DiceLoss("binary", ignore_index=255)])
def test_a_loss_that_knows_of_the_mask_is_left_as_it_is(loss: nn.Module) -> None:
    assert for_masks(loss, "it") is loss


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({"_target_": "torch.nn.CrossEntropyLoss"}, "it does not fall when snow and bare ground are separated"),
        ({"_target_": "torch.nn.HingeEmbeddingLoss"}, "it does not fall when snow and bare ground are separated"),
        (
            {"_target_": "torch.nn.TripletMarginLoss"},
            "it fails with TypeError: .*missing 1 required positional argument",
        ),
        ({"_target_": "torch.nn.BCEWithLogitsLoss", "reduction": "none"}, "it gives no single number to descend from"),
        ({"_target_": "segmentation_models_pytorch.losses.DiceLoss", "mode": "multiclass"}, "it fails with "),
    ],
)
def test_a_loss_that_teaches_no_snow_is_refused_in_one_message(node: dict[str, Any], text: str) -> None:
    name = node["_target_"].rpartition(".")[2]
    with pytest.raises(ConfigError, match=rf"^loss: {name} cannot be trained with: .*{text}") as raised:
        make_loss(node)
    assert "\n" not in str(raised.value)


def test_a_loss_may_be_given_a_tensor() -> None:
    weight = {"_target_": "torch.tensor", "data": 3.0}
    fitted = make_loss({"_target_": "torch.nn.BCEWithLogitsLoss", "pos_weight": weight})
    assert fitted(LOGITS, MASK) != make_loss({"_target_": "torch.nn.BCEWithLogitsLoss"})(LOGITS, MASK)


def test_the_terms_of_a_sum_are_fitted_each() -> None:
    whole = WeightedSum({"a": LovaszHinge(), "b": nn.BCEWithLogitsLoss()}, {"a": 1.0, "b": 2.0})
    parts = LovaszHinge()(LOGITS, MASK) + 2 * for_masks(nn.BCEWithLogitsLoss(), "b")(LOGITS, MASK)
    assert whole(LOGITS, MASK).item() == pytest.approx(parts.item())
