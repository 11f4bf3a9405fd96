"""The ensemble that maps a window on one device: models x flips and rotations."""

import contextlib
import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snowcover.compat import raw_tensor
from snowcover.models.mapper import SnowMapper
from snowcover.predict.plan import Layout
from snowcover.predict.windows import Window
from snowcover.prepare.reprojection import Array, Floats

GPU_BATCH = 8
D4 = tuple((turns, flipped) for flipped in (False, True) for turns in range(4))  # of a square
Conversion = tuple[Floats, Floats]


def devices(wanted: str) -> list[torch.device]:
    """The devices to use for auto, cpu, gpu (all GPUs), mps, or torch's own name of a device."""
    if wanted == "auto":
        wanted = "gpu" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted == "gpu":
        return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    return [torch.device(wanted)]


class Members:
    """All members on one device."""

    def __init__(
        self, mappers: Sequence[SnowMapper], flips: bool, layout: Layout, device: torch.device,
        conversion: Conversion | None = None,
    ) -> None:  # fmt: skip
        self._device, self._layout = device, layout
        self._mappers = [optimised(mapper, device) for mapper in mappers]
        self._views = D4 if flips else D4[:1]
        self._conversion = conversion and [torch.tensor(np.asarray(part), dtype=torch.float32) for part in conversion]

    @property
    def channels(self) -> int:
        """1 for the mean; 2 with the standard deviation of several members."""
        return 1 if len(self._mappers) * len(self._views) == 1 else 2

    def map(self, windows: Sequence[Window]) -> list[tuple[Window, Array | None]]:
        """Each window with the prediction for its support, [K, support_px, support_px] float32."""
        mapped = [(window.raw, window.layers) for window in windows if window.raw is not None]
        raw, layers = [image for image, _ in mapped], [layer for _, layer in mapped if layer is not None]
        predictions = iter(self.probabilities(np.stack(raw), np.stack(layers) if layers else None) if raw else ())
        start, length = self._layout.context_px - self._layout.ramp_px, self._layout.support_px
        part = np.s_[:, start : start + length, start : start + length]
        return [(window, None if window.raw is None else next(predictions)[part]) for window in windows]

    def probabilities(self, raw: Array, layers: Array | None = None) -> Array:
        """Raw windows [B, C, h, w] and, for networks with layers, layers [B, L, h, w] -> [B, K, h, w] float32."""
        with torch.inference_mode(), _mixed_precision(self._device):
            tiles = self._converted(raw_tensor(raw).to(self._device, non_blocking=True))
            if layers is not None:
                tiles = torch.cat([tiles, torch.from_numpy(layers).to(self._device, non_blocking=True)], dim=1)
            views = [_mapped_view(mapper, tiles, *view) for mapper in self._mappers for view in self._views]
            members = torch.stack(views)  # [members, B, h, w]
            summary = [members.mean(0)] if self.channels == 1 else [members.mean(0), members.std(0, unbiased=False)]
            return torch.stack(summary, dim=1).cpu().numpy()

    def _converted(self, raw: Tensor) -> Tensor:
        """Stored numbers of the scene converted to the training's; observed pixels stay observed."""
        raw = raw.float()
        if self._conversion is None:
            return raw
        factor, summand = (part.to(raw.device).reshape(-1, 1, 1) for part in self._conversion)
        observed = (raw != 0).any(dim=1, keepdim=True)
        numbers = raw * factor + summand
        dark = observed & (numbers == 0).all(dim=1, keepdim=True)
        return torch.where(observed, numbers + dark * torch.finfo(torch.float32).tiny, 0.0)


def _mapped_view(mapper: nn.Module, tiles: Tensor, turns: int, flipped: bool) -> Tensor:
    """Probability [B, h, w] of tiles rotated and flipped before mapping, and turned back after it."""
    view = torch.rot90(tiles.flip(-1) if flipped else tiles, turns, (-2, -1))
    probability = torch.rot90(mapper(view), -turns, (-2, -1))
    return probability.flip(-1) if flipped else probability


def _mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    if device.type != "cuda":
        return contextlib.nullcontext()
    capable = torch.cuda.get_device_capability(device) >= (8, 0)  # before Ampere bfloat16 is emulated
    return torch.autocast("cuda", torch.bfloat16 if capable else torch.float16)


class _Probability(nn.Module):
    """A mapper that also predicts unobserved pixels, which their neighbours may need."""

    def __init__(self, mapper: SnowMapper) -> None:
        super().__init__()
        self.mapper = mapper

    def forward(self, raw: Tensor) -> Tensor:
        return self.mapper.log_odds(raw)[:, 0].float().sigmoid()


@lru_cache(maxsize=16)
def optimised(mapper: SnowMapper, device: torch.device) -> nn.Module:
    """An optimised copy of the mapper on a device: raw windows [B, C, h, w] -> probability [B, h, w]."""
    own = copy.deepcopy(mapper).eval().requires_grad_(False)
    fold_batch_norms(own)
    own = own.to(device)
    if device.type == "cuda":
        own = own.to(memory_format=torch.channels_last)
    return _Probability(own)


def fold_batch_norms(mapper: SnowMapper) -> None:
    """Fold batch norms into the convolutions before them, in place.

    Pairs are found by running the network once. If its output then differs, because of something between the two, the
    network is left unchanged.
    """
    network, bands = mapper.network, mapper.channels
    example = torch.randn(1, bands, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        try:
            before = network(example)
            pairs = _convolution_norm_pairs(network, example)
        except Exception:  # the network does not take such a tile: it is left unchanged
            return
        original = copy.deepcopy(network)
        for convolution, norm in pairs:
            _replace(network, convolution, nn.utils.fuse_conv_bn_eval(convolution, norm))
            _replace(network, norm, nn.Identity())
        if not torch.allclose(network(example), before, rtol=1e-3, atol=1e-3):
            mapper.network = original


def _convolution_norm_pairs(network: nn.Module, example: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions that are used once, with the batch norm that takes exactly their output."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if type(module) is nn.Conv2d:
            made[id(output)] = module, output  # kept, so that no other tensor gets its id
        elif type(module) is nn.BatchNorm2d and module.track_running_stats and id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    hooks = [module.register_forward_hook(record) for module in network.modules() if isinstance(module, kinds)]
    network(example)
    for hook in hooks:
        hook.remove()
    return pairs


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in network.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
