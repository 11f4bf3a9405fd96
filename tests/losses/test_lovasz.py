"""The Lovasz hinge against the original's formula in float64, and against what it must not see."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from snowcover.losses.lovasz import LovaszHinge, sorted_hinges

SIDES = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))
SNOW_SHARES = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])
SPREADS = st.sampled_from([0.01, 1.0, 30.0])


def original(logits: Tensor, mask: Tensor) -> Tensor:
    """robosat.pink's formula: the mean over images, every pixel observed."""
    hinges = []
    for scores, labels in zip(logits.flatten(1), mask.flatten(1).to(logits.dtype), strict=True):
        errors = 1 - (2 * labels - 1) * scores
        errors, order = torch.sort(errors, descending=True)
        snow = labels[order]
        jaccard = 1 - (snow.sum() - snow.cumsum(0)) / (snow.sum() + (1 - snow).cumsum(0))
        steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
        hinges.append(torch.dot(errors.relu(), steps))
    return torch.stack(hinges).mean()


def draw(shape: tuple[int, ...], snow_share: float, spread: float, seed: int) -> tuple[Tensor, Tensor]:
    """Logits [B, 1, H, W], scattered about those of a half-trained network, and a mask [B, H, W]."""
    random = torch.Generator().manual_seed(seed)
    mask = (torch.rand(shape, generator=random) < snow_share).to(torch.uint8)
    logits = mask.float() - 0.5 + spread * torch.randn(shape, generator=random)
    return apart(logits, mask)[:, None].requires_grad_(), mask


def apart(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits moved by a few roundings, so that no two pixels of an image are equally wrong in float32.

    Two that are may be sorted either way, and each way has a gradient of its own.
    """
    sign = 1 - 2 * mask.double().flatten(1)
    errors = 1 + logits.double().flatten(1) * sign
    rank = errors.argsort(dim=1).argsort(dim=1)
    errors += 4 * torch.finfo(torch.float32).eps * (1 + logits.abs().max()) * rank
    return ((errors - 1) * sign).float().view_as(logits)


def gradient(value: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(value, logits)[0]


@given(SIDES, SNOW_SHARES, SPREADS, st.integers(0, 999))
@example((7, 64, 64), 0.5, 0.01, 0)
@example((2, 5, 5), 0.5, 0.01, 5)  # of two pixels that were equally wrong in float32
def test_where_all_is_observed_it_is_the_original(
    shape: tuple[int, int, int], snow_share: float, spread: float, seed: int
) -> None:
    logits, mask = draw(shape, snow_share, spread, seed)
    exact = logits.detach().double().requires_grad_()
    ours, theirs = LovaszHinge()(logits, mask), original(exact, mask)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient(ours, logits).double(), gradient(theirs, exact), rtol=1e-5, atol=1e-7)


@given(SIDES, SNOW_SHARES, st.integers(0, 999))
def test_an_unobserved_pixel_counts_as_if_it_were_not_there(
    shape: tuple[int, int, int], snow_share: float, seed: int
) -> None:
    logits, mask = draw(shape, snow_share, 1.0, seed)
    mask[torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed)) < 0.4] = 255
    seen = [(row[labels != 255], labels[labels != 255]) for row, labels in zip(logits[:, 0], mask, strict=True)]
    alone = [original(scores.double()[None], labels[None]) for scores, labels in seen if len(labels)]
    expected = torch.stack(alone).mean() if alone else logits.double().sum() * 0
    ours = LovaszHinge()(logits, mask)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradient(ours, logits), gradient(expected, logits), rtol=1e-5, atol=1e-7)


@given(SIDES, SNOW_SHARES, SPREADS, st.integers(0, 999))
def test_the_packed_sort_of_a_cpu_and_the_sort_of_other_devices_agree(
    shape: tuple[int, int, int], snow_share: float, spread: float, seed: int
) -> None:
    logits, mask = draw(shape, snow_share, spread, seed)
    mask[:, -1] = 255
    packed = LovaszHinge()(logits, mask)
    images = (mask != 255).flatten(1).any(1).sum().clamp(min=1)
    elsewhere = sorted_hinges(logits.flatten(1), mask.flatten(1)).sum() / images
    torch.testing.assert_close(packed, elsewhere, rtol=2e-6, atol=1e-6)
    torch.testing.assert_close(gradient(packed, logits), gradient(elsewhere, logits), rtol=1e-5, atol=1e-7)


def test_its_gradient_is_that_of_finite_differences() -> None:
    logits, mask = draw((2, 4, 4), 0.5, 1.0, seed=3)
    mask[0, 0] = 255
    exact = logits.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: LovaszHinge()(x, mask), exact)


def test_pixels_of_equal_error_share_one_loss_whatever_their_order() -> None:
    mask = (torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(0)) < 0.3).to(torch.uint8)
    flat = torch.zeros(1, 1, 32, 32)
    expected = original(flat.double(), mask)
    torch.testing.assert_close(LovaszHinge()(flat, mask).double(), expected, rtol=1e-6, atol=0)


def test_a_batch_without_an_observed_pixel_scores_nothing_and_moves_nothing() -> None:
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    loss = LovaszHinge()(logits, torch.full((2, 8, 8), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_an_image_without_an_observed_pixel_does_not_dilute_the_mean() -> None:
    logits, mask = draw((3, 8, 8), 0.5, 1.0, seed=1)
    mask[1] = 255
    seen = [0, 2]
    torch.testing.assert_close(LovaszHinge()(logits, mask), LovaszHinge()(logits[seen], mask[seen]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_scored_in_single(dtype: torch.dtype) -> None:
    logits, mask = draw((2, 64, 64), 0.5, 1.0, seed=2)
    half = logits.detach().to(dtype).requires_grad_()
    loss = LovaszHinge()(half, mask)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, LovaszHinge()(half.float(), mask))
    assert gradient(loss, half).dtype == dtype


def test_a_logit_that_is_not_a_number_shows_in_the_loss() -> None:
    logits, mask = draw((1, 8, 8), 0.5, 1.0, seed=4)
    poisoned = logits.detach().clone()
    poisoned[0, 0, 3, 3] = -float("nan")
    assert LovaszHinge()(poisoned, mask).isnan()
