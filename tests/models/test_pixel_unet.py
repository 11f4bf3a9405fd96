"""A U-Net that is also a classifier of single pixels."""

import pytest
import torch
from torch import nn

from snowcover import network
from snowcover.models.pixel_unet import PixelUnet
from tests.making import BANDS

NODE = {"_target_": "snowcover.models.pixel_unet.PixelUnet", "encoder_name": "resnet18", "pixel_channels": 8}


def test_a_logit_for_every_pixel_of_any_number_of_bands() -> None:
    for bands in (BANDS, ("red", "nir")):
        built = network.build(NODE, bands, pretrained=False).eval()
        with torch.no_grad():
            assert built(torch.randn(2, len(bands), 64, 96)).shape == (2, 1, 64, 96)


def test_a_classifier_of_single_pixels_is_a_case_of_it() -> None:
    built = PixelUnet(pixel_channels=8).eval()
    with torch.no_grad():
        built.final.weight[:, :16] = 0  # what its surroundings say of a pixel
        tiles = torch.randn(1, 4, 64, 64)
        alone = nn.Sequential(built.pixel, nn.Conv2d(8, 1, 1))
        alone[1].weight.copy_(built.final.weight[:, 16:])
        alone[1].bias.copy_(built.final.bias)
        torch.testing.assert_close(built(tiles), alone(tiles))


def test_otherwise_a_pixel_sees_its_surroundings() -> None:
    built = PixelUnet(pixel_channels=8).eval()
    tiles = torch.randn(1, 4, 64, 64)
    others = tiles.clone()
    others[..., 40:, 40:] += 1
    with torch.no_grad():
        assert not torch.equal(built(tiles)[..., :32, :32], built(others)[..., :32, :32])


def test_other_widths_and_encoders_are_keys_of_the_config() -> None:
    thin = network.build({**NODE, "decoder_channels": [64, 32, 16, 16, 8]}, BANDS, pretrained=False)
    assert isinstance(thin, PixelUnet) and thin.final.in_channels == 8 + 8
    assert thin.encoder is thin.unet.encoder
    with pytest.raises(network.ConfigError, match=r"encoder_name=resnet17: no such encoder"):
        network.build({**NODE, "encoder_name": "resnet17"}, BANDS, pretrained=False)
