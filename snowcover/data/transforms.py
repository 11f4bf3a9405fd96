"""Changes to training tiles that leave the truth as it is, on whole batches, on the device that trains."""

from typing import Any

import torch
from torch import Tensor, nn

from snowcover.compat import Image, Mask, v2
from snowcover.data.config import Augment
from snowcover.data.loader import Batch


class Brightness(nn.Module):
    """Multiply all bands of an image by one factor, drawn from [1 - change, 1 + change]; its layers stay."""

    def __init__(self, change: float, layers: int = 0) -> None:
        super().__init__()
        self.change, self.layers = change, layers

    def forward(self, *pair: Any) -> tuple[Tensor, Tensor]:
        """Image [C + L, H, W], whose 0 in all bands is unobserved and stays so, and its mask, which is left alone."""
        image, mask = pair if len(pair) == 2 else pair[0]  # torchvision before 0.16 composes with both as one
        factor = 1 + self.change * (2 * torch.rand(()).item() - 1)
        if not self.layers:
            return image * factor, mask
        return torch.cat([image[: -self.layers] * factor, image[-self.layers :]]), mask


def augmentation(augment: Augment, layers: int = 0) -> nn.Module | None:
    """The joint transform of an Image [C + L, H, W] and its Mask [H, W]; None where nothing is asked for.

    Layers move with the ground, and none of their numbers change: what faced north in a scene still did so.
    """
    steps: list[nn.Module] = []
    if augment.flips_and_rotations:
        # A flip or none, then one of four rotations: each of the square's eight symmetries is as likely.
        steps.append(v2.RandomHorizontalFlip(p=0.5))
        steps.append(v2.RandomChoice([v2.RandomRotation((angle, angle)) for angle in (0, 90, 180, 270)]))
    if augment.brightness:
        steps.append(Brightness(augment.brightness, layers))
    return v2.Compose(steps) if steps else None


def augmented(batch: Batch, transform: nn.Module | None) -> Batch:
    """Each pair of the batch changed on its own; image as float32."""
    image = batch.image.float()
    if transform is None:
        return Batch(image, batch.mask)
    changed = [transform(Image(image), Mask(mask)) for image, mask in zip(image, batch.mask, strict=True)]
    return Batch(_stacked([image for image, _ in changed]), _stacked([mask for _, mask in changed]))


def _stacked(tensors: list[Tensor]) -> Tensor:
    return torch.stack([tensor.as_subclass(Tensor) for tensor in tensors])
