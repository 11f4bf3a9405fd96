"""Library losses see observed pixels only, and are otherwise what they are on whole images."""

import pytest
import segmentation_models_pytorch.losses as library
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from snowcover.losses.masked import MaskedLoss

LOSSES = {
    "dice": library.DiceLoss("binary"),
    "jaccard": library.JaccardLoss("binary"),
    "tversky": library.TverskyLoss("binary", alpha=0.3, beta=0.7),
    "focal": library.FocalLoss("binary"),
    "bce": nn.BCEWithLogitsLoss(),
    "mcc": library.MCCLoss(),
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def valid(name: str) -> MaskedLoss:
    return MaskedLoss(LOSSES[name], probabilities=name == "mcc")


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, 2, (3, 8, 9), generator=random, dtype=torch.uint8)
    return torch.randn(3, 1, 8, 9, generator=random).requires_grad_(), mask


@each_loss
def test_where_all_is_observed_it_is_the_librarys_loss_on_whole_images(name: str) -> None:
    logits, mask = batch()
    given = logits.sigmoid() if name == "mcc" else logits
    torch.testing.assert_close(valid(name)(logits, mask), LOSSES[name](given, mask[:, None].float()))


@each_loss
def test_an_unobserved_pixel_changes_nothing_and_is_not_moved(name: str) -> None:
    logits, mask = batch()
    mask[:, ::2, ::3] = 255
    loss = valid(name)(logits, mask)
    loss.backward()
    assert logits.grad is not None
    moved = logits.grad[:, 0] != 0
    assert torch.equal(moved, mask != 255)
    other = torch.where(mask[:, None] == 255, 99.0, logits)
    assert torch.equal(valid(name)(other, mask), loss)


@each_loss
@given(seed=st.integers(0, 999))
def test_it_does_not_matter_where_the_observed_pixels_lie(name: str, seed: int) -> None:
    logits, mask = batch(seed)
    mask[mask.roll(1, dims=2) == 1] = 255
    order = torch.randperm(mask[0].numel(), generator=torch.Generator().manual_seed(seed))
    moved_logits = logits.flatten(2)[:, :, order].view_as(logits)
    moved_mask = mask.flatten(1)[:, order].view_as(mask)
    torch.testing.assert_close(valid(name)(moved_logits, moved_mask), valid(name)(logits, mask))


@each_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_batch_without_an_observed_pixel_scores_and_moves_nothing(name: str, dtype: torch.dtype) -> None:
    logits = torch.full((2, 1, 64, 64), 60.0, dtype=dtype, requires_grad=True)  # sum beyond float16
    loss = valid(name)(logits, torch.full((2, 64, 64), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@each_loss
def test_half_precision_logits_are_scored_in_single(name: str) -> None:
    logits, mask = batch()
    half = logits.detach().bfloat16()
    assert torch.equal(valid(name)(half, mask), valid(name)(half.float(), mask))
