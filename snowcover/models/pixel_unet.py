"""A U-Net at full resolution joined with a classifier of single pixels: the default network.

An ImageNet encoder halves a tile once or twice before it looks for anything, so its U-Net loses what single pixels say,
and on snow that is most of what there is to know. This one begins with all pixels, in few channels, and grows wider as
it goes deeper: it learns more from some dozens of tiles than encoders of ten times its weights, in half the time.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class PixelUnet(nn.Module):
    """U-Net whose first level has every pixel, joined with two 1x1 convolutions on the bands; a logit above 0 is snow.

    widths: channels of each level, from full resolution down; each level halves the sides. pixel_channels: width of the
    pixel branch. Raises ValueError for fewer than two widths.
    """

    def __init__(
        self,
        in_channels: int = 4,
        classes: int = 1,
        widths: Sequence[int] = (16, 32, 64, 96, 128, 128),
        pixel_channels: int = 64,
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"widths={list(widths)} needs two levels or more, such as [16, 32, 64].")
        top = widths[0]
        self.stem = nn.Sequential(_convolution(in_channels, top, kernel_size=1), _convolution(top, top))
        self.down = nn.ModuleList(_Residual(above, below) for above, below in pairwise(widths))
        self.up = nn.ModuleList(_convolution(below + above, above) for above, below in reversed(list(pairwise(widths))))
        self.pixel = nn.Sequential(
            nn.Conv2d(in_channels, pixel_channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(pixel_channels, pixel_channels, kernel_size=1),
            nn.ReLU(inplace=True),
        )
        # The pixel classifier alone is a special case of this network: where nothing is made of the surroundings.
        self.final = nn.Conv2d(top + pixel_channels, classes, kernel_size=1)
        self._divisor = 2 ** len(self.down)

    def forward(self, x: Tensor) -> Tensor:
        """Map tiles [B, C, H, W] to logits [B, classes, H, W]. Raises ValueError unless levels halve both evenly."""
        height, width = x.shape[-2:]
        if height % self._divisor or width % self._divisor:
            raise ValueError(
                f"pixelunet takes tiles whose sides divide by {self._divisor}, got {height} x {width} px: cut the "
                "tiles to such a size, or give fewer model.widths."
            )
        levels = [self.stem(x)]  # [B, widths[k], H / 2^k, W / 2^k]
        for down in self.down:
            levels.append(down(functional.max_pool2d(levels[-1], kernel_size=2)))
        seen = levels.pop()
        for up in self.up:
            wider = functional.interpolate(seen, scale_factor=2.0, mode="nearest")
            seen = up(torch.cat([wider, levels.pop()], dim=1))
        return self.final(torch.cat([seen, self.pixel(x)], dim=1))


def _convolution(in_channels: int, out_channels: int, kernel_size: int = 3) -> nn.Sequential:
    """Convolution of the same size, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Two 3x3 convolutions and a 1x1 shortcut (arXiv:1512.03385)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = _convolution(in_channels, out_channels)
        self.second = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H, W]."""
        return functional.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)
