"""A weighted sum is what its terms give, and every term has its weight."""

import pytest
import torch
from torch import nn

from snowcover.losses.lovasz import LovaszHinge
from snowcover.losses.masked import MaskedLoss
from snowcover.losses.weighted import WeightedSum


def test_it_is_the_sum_of_its_terms_each_times_its_weight() -> None:
    lovasz, bce = LovaszHinge(), MaskedLoss(nn.BCEWithLogitsLoss())
    both = WeightedSum({"lovasz": lovasz, "bce": bce}, {"bce": 0.25, "lovasz": 2})
    logits, mask = torch.randn(2, 1, 8, 8), torch.randint(0, 2, (2, 8, 8), dtype=torch.uint8)
    mask[0, 0] = 255
    torch.testing.assert_close(both(logits, mask), 2 * lovasz(logits, mask) + 0.25 * bce(logits, mask))


@pytest.mark.parametrize("weights", [{}, {"bce": 1.0}, {"lovasz": 1.0, "bce": 1.0}])
def test_a_term_without_weight_or_a_weight_without_term_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="terms \\['lovasz'\\] and weights"):
        WeightedSum({"lovasz": LovaszHinge()}, weights)


def test_a_sum_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="one weight for each"):
        WeightedSum({}, {})
