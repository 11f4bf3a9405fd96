"""Blocks that are computed twice learn what they would have learned."""

import copy

import pytest
import torch
from torch import Tensor, nn

from snowcover.compat import CHECKPOINT_HAS_CONTEXTS
from snowcover.models.recomputed import Recomputed


def blocks() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)) for _ in range(3)]


def kept_bytes(network: nn.Module, x: Tensor) -> int:
    """What is kept for the backward pass, the weights aside."""
    seen = {}

    def keep(tensor: Tensor) -> Tensor:
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(x)
    return sum(seen.values())


def test_losses_gradients_and_statistics_are_those_of_the_plain_blocks_bit_for_bit() -> None:
    plain, twice = nn.Sequential(*blocks()), Recomputed(*blocks())
    assert list(plain.state_dict()) == list(twice.state_dict())
    for step in range(3):
        x = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(step))
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        for network, given in ((twice, ours), (plain, theirs)):
            network.zero_grad()
            network(given).square().mean().backward()
        assert torch.equal(ours.grad, theirs.grad)
        for one, other in zip(twice.parameters(), plain.parameters(), strict=True):
            assert torch.equal(one.grad, other.grad)
        for (name, one), other in zip(twice.state_dict().items(), plain.state_dict().values(), strict=True):
            assert torch.equal(one, other), name
    assert int(twice[0][1].num_batches_tracked) == 3


@pytest.mark.skipif(not CHECKPOINT_HAS_CONTEXTS, reason="torch before 2.1 runs them as plain blocks")
def test_only_what_goes_into_the_blocks_is_kept() -> None:
    plain, x = nn.Sequential(*blocks()), torch.randn(2, 4, 64, 64)
    assert kept_bytes(Recomputed(*blocks()), x) < 0.5 * kept_bytes(plain, x)


def test_maps_are_those_of_the_plain_blocks_and_copies_are_whole() -> None:
    twice = Recomputed(*blocks()).eval()
    plain, x = nn.Sequential(*twice), torch.randn(1, 4, 16, 16)
    assert torch.equal(twice(x), plain(x))
    assert torch.equal(copy.deepcopy(twice)(x), plain(x))
