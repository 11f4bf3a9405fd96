"""A U-Net beside a classifier of single pixels: the one sees the surroundings, the other all that a pixel itself says.

A U-Net's first skip connection is at half resolution, so what single pixels say is lost to it, and on snow that is most
of what there is to know. Joined before the last convolution, the pixel classifier is a special case of this network.
"""

import torch
from segmentation_models_pytorch import Unet
from torch import Tensor, nn


class PixelUnet(nn.Module):
    """Two 1x1 convolutions on the bands, joined at full resolution with a U-Net's answer; a logit above 0 is snow.

    encoder_name: any of segmentation-models-pytorch's, randomly initialised. decoder_channels: width of the U-Net's
    five decoder blocks, the last of which is what it answers. pixel_channels: width of the pixel branch.
    """

    def __init__(
        self,
        encoder_name: str = "resnet18",
        in_channels: int = 4,
        classes: int = 1,
        decoder_channels: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16),
        pixel_channels: int = 64,
    ) -> None:
        super().__init__()
        surroundings = decoder_channels[-1]
        self.unet = Unet(
            encoder_name,
            encoder_weights=None,
            in_channels=in_channels,
            classes=surroundings,
            decoder_channels=tuple(decoder_channels),
        )
        self.pixel = nn.Sequential(
            nn.Conv2d(in_channels, pixel_channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(pixel_channels, pixel_channels, kernel_size=1),
            nn.ReLU(inplace=True),
        )
        self.final = nn.Conv2d(surroundings + pixel_channels, classes, kernel_size=1)

    @property
    def encoder(self) -> nn.Module:
        """The encoder, under the name it has in segmentation-models-pytorch's networks."""
        return self.unet.encoder

    def forward(self, x: Tensor) -> Tensor:
        """Map tiles [B, C, H, W], whose sides divide by 32, to logits [B, classes, H, W]."""
        return self.final(torch.cat([self.unet(x), self.pixel(x)], dim=1))
