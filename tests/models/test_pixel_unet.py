"""A U-Net that is also a classifier of single pixels."""

import pytest
import torch
from torch import nn

from snowcover import network
from snowcover.models.pixel_unet import PixelUnet
from tests.making import BANDS

NODE = {"_target_": "snowcover.models.pixel_unet.PixelUnet", "widths": [8, 16, 16], "pixel_channels": 8}


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


def test_otherwise_a_pixel_sees_as_far_as_the_deepest_level() -> None:
    built = PixelUnet(pixel_channels=8).eval()
    tiles = torch.randn(1, 4, 256, 256)
    others = tiles.clone()
    others[..., 128:, :] += 1
    with torch.no_grad():
        changed = (built(tiles) - built(others)).abs().amax(dim=(0, 1, 3))  # [H]
    assert (changed[96:] > 0).all()


def test_all_pixels_are_looked_at_with_their_neighbours_before_any_are_merged() -> None:
    built = PixelUnet(widths=(4, 4), pixel_channels=4)
    assert built.stem(torch.randn(1, 4, 32, 32)).shape == (1, 4, 32, 32)


def test_widths_set_depth_and_the_sides_that_tiles_may_have() -> None:
    built = network.build(NODE, BANDS, pretrained=False)
    assert len(built.down) == 2
    network.tile_memory_bytes(built, (4, 36, 20))
    with pytest.raises(network.DoesNotFit, match=r"sides divide by 4, got 34 x 20 px: cut the tiles"):
        network.tile_memory_bytes(built, (4, 34, 20))
    with pytest.raises(network.ConfigError, match=r"widths=\[8\] needs two levels or more"):
        network.build({**NODE, "widths": [8]}, BANDS, pretrained=False)


def test_pretrained_filters_are_refused_for_it_has_no_encoder() -> None:
    with pytest.raises(network.ConfigError, match="encoder_weights"):
        network.build({**NODE, "encoder_weights": "imagenet"}, BANDS, pretrained=True)
