"""Filters learnt on RGB photographs land on the bands of their colour; nothing else changes."""

import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from snowcover.models.input_channels import adapt_input_channels, load_encoder_weights

PLANET = ["blue", "green", "red", "nir"]


def encoder(in_channels: int, name: str = "resnet18") -> nn.Module:
    return smp.encoders.get_encoder(name, in_channels=in_channels, weights=None).eval()


@pytest.fixture(scope="module")
def rgb() -> nn.Module:
    torch.manual_seed(0)
    return encoder(3)


def last_features(network: nn.Module, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(x)[-1]


@given(st.permutations(["red", "green", "blue", "nir", "swir"]), st.integers(0, 2))
def test_a_band_gets_the_filter_of_its_colour_or_the_mean(bands: list[str], absent: int) -> None:
    bands = bands[: 5 - absent]
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    laid = adapt_input_channels(weight, bands) * len(bands) / 3
    for position, band in enumerate(bands):
        colour = {"red": 0, "green": 1, "blue": 2}.get(band)
        torch.testing.assert_close(laid[:, position], weight.mean(1) if colour is None else weight[:, colour])


@given(st.sets(st.sampled_from(["nir", "swir", "coastal", "rededge"])))
def test_a_grey_pixel_excites_a_filter_as_much_as_it_did_in_rgb(others: set[str]) -> None:
    weight = torch.randn(4, 3, 7, 7, dtype=torch.float64)
    laid = adapt_input_channels(weight, ["blue", *sorted(others), "red", "green"])
    torch.testing.assert_close(laid.sum(1), weight.sum(1))


def test_bands_in_the_order_of_rgb_keep_their_filters_as_they_are() -> None:
    weight = torch.randn(2, 3, 3, 3)
    assert torch.equal(adapt_input_channels(weight, ["red", "green", "blue"]), weight)


def test_filters_that_are_not_of_rgb_cannot_be_laid() -> None:
    with pytest.raises(ValueError, match=r"\[8, 4, 3, 3\]"):
        adapt_input_channels(torch.zeros(8, 4, 3, 3), PLANET)


def test_an_rgb_encoder_sees_a_grey_scene_in_four_bands_as_it_did_in_three(rgb: nn.Module) -> None:
    network = encoder(4)
    load_encoder_weights(network, rgb.state_dict(), PLANET)
    grey = torch.randn(1, 1, 64, 64)
    expected = last_features(rgb, grey.expand(-1, 3, -1, -1))
    seen = last_features(network, grey.expand(-1, 4, -1, -1))
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-4)


def test_three_bands_in_planets_order_do_not_take_red_for_blue(rgb: nn.Module) -> None:
    network = encoder(3)
    load_encoder_weights(network, rgb.state_dict(), ["blue", "green", "red"])
    scene = torch.randn(1, 3, 64, 64)
    expected = last_features(rgb, scene.flip(1))
    torch.testing.assert_close(last_features(network, scene), expected, rtol=1e-4, atol=1e-4)


def test_a_classifiers_head_and_absent_batch_counts_do_not_stop_old_weights(rgb: nn.Module) -> None:
    state = {key: value for key, value in rgb.state_dict().items() if not key.endswith("num_batches_tracked")}
    state["fc.weight"] = torch.zeros(1000, 512)
    network = encoder(4)
    load_encoder_weights(network, state, PLANET)
    assert torch.equal(network.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    assert "fc.weight" in state, "the caller's weights are left as they were"


def test_every_mismatch_is_named_and_nothing_is_loaded(rgb: nn.Module) -> None:
    state = dict(rgb.state_dict())
    del state["bn1.weight"]
    state["layer9.weight"] = torch.zeros(1)
    state["layer1.0.conv1.weight"] = torch.zeros(1, 1, 3, 3)
    network = encoder(4)
    before = network.state_dict()["bn1.bias"].clone()
    state["bn1.bias"] = torch.ones(64)
    with pytest.raises(ValueError, match="do not fit ResNetEncoder") as refused:
        load_encoder_weights(network, state, PLANET)
    for part in ("bn1.weight is missing", "layer9.weight is unknown", "conv1.weight is [1, 1, 3, 3]"):
        assert part in str(refused.value)
    assert torch.equal(network.state_dict()["bn1.bias"], before)


def test_an_encoder_of_another_number_of_bands_is_refused(rgb: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"conv1\.weight is \[64, 3, 7, 7\] and not \[64, 5, 7, 7\]"):
        load_encoder_weights(encoder(5), rgb.state_dict(), PLANET)


@pytest.mark.parametrize(("bands", "layers"), [(PLANET, 5), (["red", "green", "blue"], 1), (["red", "nir"], 1)])
def test_layers_say_nothing_until_they_are_learnt(rgb: nn.Module, bands: list[str], layers: int) -> None:
    alone, network = encoder(len(bands)), encoder(len(bands) + layers)
    load_encoder_weights(alone, rgb.state_dict(), bands)
    load_encoder_weights(network, rgb.state_dict(), bands, layers=layers)
    image = torch.randn(1, len(bands) + layers, 64, 64)
    expected = last_features(alone, image[:, : len(bands)])
    torch.testing.assert_close(last_features(network, image), expected, rtol=1e-4, atol=1e-4)
