"""A network with everything that raw tiles need before and after it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE_DIVISOR = 64


class SnowMapper(nn.Module):
    """Raw tiles in, snow probability out: what MLflow keeps, so that nobody has to repeat our preprocessing."""

    scale: Tensor
    offset: Tensor
    mean: Tensor
    std: Tensor
    temperature: Tensor

    def __init__(
        self,
        network: nn.Module,
        scale: float,
        offset: float,
        mean: Sequence[float],
        std: Sequence[float],
        temperature: float = 1.0,
        layers: int = 0,
    ) -> None:
        """Reflectance is stored numbers * `scale` + `offset`; `mean` and `std` [C + L] are reflectances, and for the
        layers what these are in.

        Args:
            layers: L, how many channels behind the bands are layers: not scaled, and of no say in what is observed.
            temperature: what logits are divided by to be log odds of snow; see snowcover.scoring.calibration.
        """
        super().__init__()
        self.network = network
        self.layers = layers
        self.register_buffer("scale", torch.tensor(float(scale)))
        self.register_buffer("offset", torch.tensor(float(offset)))
        self.register_buffer("mean", torch.tensor(mean).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(-1, 1, 1))
        self.register_buffer("temperature", torch.tensor(float(temperature)))

    @property
    def channels(self) -> int:
        """C + L."""
        return self.mean.numel()

    @property
    def bands(self) -> int:
        """C."""
        return self.channels - self.layers

    def logits(self, raw: Tensor) -> Tensor:
        """Raw tiles [B, C + L, H, W] -> logits [B, 1, H, W], above 0 for snow; unobserved: 0 in all bands or not
        finite."""
        logits: Tensor = self.network(self._normal(raw.float()))
        return logits

    def _normal(self, raw: Tensor) -> Tensor:
        # Unobserved ground looks like the mean of all ground, not like the darkest; so do layers without data.
        bands, layers = self._split(raw)
        numbers, known = bands * self.scale + self.offset, observed(bands)
        if layers is not None:
            numbers = torch.cat([numbers, layers], dim=1)
            known = torch.cat([known.expand_as(bands), layers.isfinite()], dim=1)
        return torch.where(known, (numbers - self.mean) / self.std, 0.0)

    def _split(self, raw: Tensor) -> tuple[Tensor, Tensor | None]:
        """Bands [B, C, H, W], and layers [B, L, H, W] where it takes any."""
        return (raw[:, : self.bands], raw[:, self.bands :]) if self.layers else (raw, None)

    def log_odds(self, raw: Tensor) -> Tensor:
        """Raw tiles [B, C + L, H, W] -> log odds of snow [B, 1, H, W]: the logits, calibrated."""
        return self.logits(raw) / self.temperature

    def forward(self, raw: Tensor) -> Tensor:
        """Raw tiles [B, C + L, H, W] of any size -> probability of snow [B, H, W], NaN where unobserved."""
        height, width = raw.shape[-2:]
        right, below = (-(-side // SIDE_DIVISOR) * SIDE_DIVISOR - side for side in (width, height))
        # As unobserved ground, up to a size that every network here takes.
        bands, layers = self._split(raw.float())
        whole = F.pad(bands, (0, right, 0, below))
        seen = observed(whole)
        if layers is not None:
            whole = torch.cat([whole, F.pad(layers, (0, right, 0, below), value=torch.nan)], dim=1)
        probability = self.log_odds(whole).sigmoid().masked_fill(~seen, torch.nan)
        # Not a slice: exported, that would be bound to sizes that need padding.
        return F.pad(probability.squeeze(1), (0, -right, 0, -below))


def observed(raw: Tensor) -> Tensor:
    """[B, 1, H, W] bool: some band of the raw tiles [B, C, H, W], without layers, is not 0, and all are finite."""
    return (raw != 0).any(dim=1, keepdim=True) & raw.isfinite().all(dim=1, keepdim=True)
