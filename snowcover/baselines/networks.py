"""Baselines in a network's place: reflectance [B, C, H, W] in, logits [B, 1, H, W] out, each pixel by itself."""

from typing import Any

import torch
from torch import Tensor, nn

from snowcover.baselines.forest import Forest
from snowcover.models.mapper import SnowMapper

SUREST = 1e-6  # of a probability's distance from 0 and 1, so that logits are finite
PIXELS_AT_ONCE = {"cpu": 1 << 14, "cuda": 1 << 20}  # what fits into a processor's cache; what keeps a GPU busy
NODES = ("roots", "next_node", "band", "threshold", "probability")


class ForestNetwork(nn.Module):
    """The mean of what the trees say of a pixel."""

    def __init__(self, forest: Forest) -> None:
        super().__init__()
        self._depth = forest.depth
        for name in NODES:
            array = torch.from_numpy(getattr(forest, name)).reshape(-1)
            self.register_buffer(name, array if array.is_floating_point() else array.long())  # as `take` wants them

    def forward(self, reflectance: Tensor) -> Tensor:
        """Reflectance [B, C, H, W] -> logits [B, 1, H, W] of the trees' mean probability."""
        batch, bands, height, width = reflectance.shape
        values = reflectance.movedim(1, -1).reshape(-1, bands)  # [P, C]
        parts = torch.split(values, PIXELS_AT_ONCE.get(values.device.type, 1 << 14))
        probability = torch.cat([self._mean(part) for part in parts])
        return probability.clamp(SUREST, 1 - SUREST).logit().reshape(batch, 1, height, width)

    def _mean(self, values: Tensor) -> Tensor:
        """[P] what all trees say of pixels [P, C]."""
        first_bands = torch.arange(len(values), device=values.device) * values.shape[1]
        flat, nodes = values.reshape(-1), {name: self.get_buffer(name) for name in NODES}
        if values.device.type != "cpu":
            return self._walked(flat, first_bands, nodes)
        # numpy's `take` is as quick, and no step of the hundreds waits for other threads.
        plain = {name: buffer.numpy() for name, buffer in nodes.items()}
        return torch.from_numpy(self._walked(flat.numpy(), first_bands.numpy(), plain))

    def _walked(self, flat: Any, first_bands: Any, nodes: dict[str, Any]) -> Any:
        """All pixels go down together, and stay in a leaf that they have reached: of arrays or of tensors."""
        total = 0
        for root in nodes["roots"].tolist():
            node = first_bands * 0 + root
            for _ in range(self._depth):
                right = flat.take(nodes["band"].take(node) + first_bands) > nodes["threshold"].take(node)
                node = nodes["next_node"].take(node * 2 + right)
            total = total + nodes["probability"].take(node)
        return total / len(nodes["roots"])


class ThresholdNetwork(nn.Module):
    """Snow is what is as bright as the threshold or brighter: the mean reflectance of all bands."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self._threshold = threshold

    def forward(self, reflectance: Tensor) -> Tensor:
        """Reflectance [B, C, H, W] -> logits [B, 1, H, W], which are those of certainty: there are only two values."""
        snow = reflectance.mean(dim=1, keepdim=True) >= self._threshold
        return torch.where(snow, 1 - SUREST, SUREST).logit()


def pixel_mapper(network: nn.Module, scale: float, offset: float, bands: int) -> SnowMapper:
    """Raw tiles in: what a baseline takes is reflectance as it is, not normalised."""
    return SnowMapper(network, scale, offset, [0.0] * bands, [1.0] * bands).eval()
