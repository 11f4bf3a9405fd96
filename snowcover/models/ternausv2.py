"""The network of Cannistra, Shean & Cristea 2021 (robosat.pink's Albunet): a U-Net on a ResNet encoder.

Parameter names are those of the published checkpoints, so that these load key by key.
"""

from difflib import get_close_matches

import torch
from segmentation_models_pytorch.encoders import get_encoder
from segmentation_models_pytorch.encoders.resnet import resnet_encoders
from torch import Tensor, nn
from torch.nn import functional

from snowcover.models.recomputed import Recomputed

SIDE_DIVISOR = 64  # the encoder halves a tile five times, the pooling before `center` once more


class TernausV2(nn.Module):
    """U-Net of a ResNet encoder whose decoder blocks upsample first; a logit above 0 is snow.

    encoder_name: one of segmentation-models-pytorch's resnet* or resnext*, randomly initialised. num_filters:
    width of the decoder. Raises ValueError for any other encoder.
    """

    def __init__(
        self, encoder_name: str = "resnet50", in_channels: int = 4, classes: int = 1, num_filters: int = 32
    ) -> None:
        super().__init__()
        if encoder_name not in resnet_encoders:
            raise ValueError(_no_such_encoder(encoder_name))
        self.resnet = get_encoder(encoder_name, in_channels=in_channels, weights=None)
        # The largest activations by far, and little to compute: a sixth of a step's memory, a few percent of its time.
        self.resnet.layer1 = Recomputed(*self.resnet.layer1)
        self.resnet.layer2 = Recomputed(*self.resnet.layer2)
        enc1, enc2, enc3, enc4 = self.resnet.out_channels[2:]
        f = num_filters
        self.center = DecoderBlock(enc4, 8 * f)
        self.dec0 = DecoderBlock(enc4 + 8 * f, 8 * f)
        self.dec1 = DecoderBlock(enc3 + 8 * f, 8 * f)
        self.dec2 = DecoderBlock(enc2 + 8 * f, 2 * f)
        self.dec3 = DecoderBlock(enc1 + 2 * f, 4 * f)
        self.dec4 = DecoderBlock(4 * f, f)
        self.dec5 = ConvRelu(f, f)
        self.final = nn.Conv2d(f, classes, kernel_size=1)

    @property
    def encoder(self) -> nn.Module:
        """The encoder, under the name it has in segmentation-models-pytorch's networks."""
        return self.resnet

    def forward(self, x: Tensor) -> Tensor:
        """Map tiles [B, C, H, W] to logits [B, classes, H, W]. Raises ValueError unless 64 divides both."""
        height, width = x.shape[-2:]
        if height % SIDE_DIVISOR or width % SIDE_DIVISOR:
            raise ValueError(
                f"ternausv2 takes tiles whose sides divide by {SIDE_DIVISOR}, got {height} x {width} px: "
                "cut the tiles to such a size, or choose another model."
            )
        enc1, enc2, enc3, enc4 = self.resnet(x)[2:]  # [B, C_k, H / 2^(k + 1), W / 2^(k + 1)]
        center = self.center(functional.max_pool2d(enc4, kernel_size=2, stride=2))  # [B, 8f, H / 32, W / 32]
        dec0 = self.dec0(torch.cat([enc4, center], dim=1))  # [B, 8f, H / 16, W / 16]
        dec1 = self.dec1(torch.cat([enc3, dec0], dim=1))  # [B, 8f, H / 8, W / 8]
        dec2 = self.dec2(torch.cat([enc2, dec1], dim=1))  # [B, 2f, H / 4, W / 4]
        dec3 = self.dec3(torch.cat([enc1, dec2], dim=1))  # [B, 4f, H / 2, W / 2]
        return self.final(self.dec5(self.dec4(dec3)))


class ConvRelu(nn.Module):
    """3x3 convolution without bias, then ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, H, W]."""
        return functional.relu(self.block(x), inplace=True)


class DecoderBlock(nn.Module):
    """Nearest x2 upsampling, then ConvRelu, computed as one transposed convolution that equals the two.

    Each output pixel sees only 2 x 2 different input pixels through its 3 x 3 window, so the weights that fall
    on the same input pixel are added up first: 16 products for a block of 2 x 2 output pixels instead of 36, and
    the upsampled tensor is never made. The parameter stays the 3x3 weight.
    """

    spread: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.block = ConvRelu(in_channels, out_channels)
        # tap t of 4 carries input pixel i to output pixel 2i + t - 1, through the sum of taps in row t
        taps = torch.tensor([[0.0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])  # [4, 3]
        self.register_buffer("spread", torch.kron(taps, taps).T.contiguous(), persistent=False)  # [9, 16]

    def forward(self, x: Tensor) -> Tensor:
        """[B, in_channels, H, W] -> [B, out_channels, 2H, 2W]."""
        weight = self.block.block.weight
        out_channels, in_channels = weight.shape[:2]
        kernel = (weight.reshape(-1, 9) @ self.spread).view(out_channels, in_channels, 4, 4).transpose(0, 1)
        return functional.relu(functional.conv_transpose2d(x, kernel, stride=2, padding=1), inplace=True)


def _no_such_encoder(name: str) -> str:
    nearest = get_close_matches(name, resnet_encoders, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else f"use one of {', '.join(resnet_encoders)}."
    return f"ternausv2 takes a ResNet encoder of segmentation-models-pytorch, and {name!r} is none: {hint}"
