"""ternausv2 against the same network built here from torchvision's ResNet-50, as the original wrote it."""

from collections.abc import Iterator

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from snowcover.models.ternausv2 import DecoderBlock, TernausV2


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def upsample_then_convolve(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(functional.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1).relu()


def published_forward(state: dict[str, Tensor], resnet: nn.Module, x: Tensor) -> Tensor:
    """The layer list of the original, reading the decoder's weights from a published state dict."""

    def up(name: str, *parts: Tensor) -> Tensor:
        return upsample_then_convolve(torch.cat(parts, 1), state[f"module.{name}.block.block.weight"])

    enc0 = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    enc1 = resnet.layer1(enc0)
    enc2 = resnet.layer2(enc1)
    enc3 = resnet.layer3(enc2)
    enc4 = resnet.layer4(enc3)
    center = up("center", functional.max_pool2d(enc4, 2, 2))
    dec0 = up("dec0", enc4, center)
    dec1 = up("dec1", enc3, dec0)
    dec2 = up("dec2", enc2, dec1)
    dec3 = up("dec3", enc1, dec2)
    dec4 = up("dec4", dec3)
    dec5 = functional.conv2d(dec4, state["module.dec5.block.weight"], padding=1).relu()
    return functional.conv2d(dec5, state["module.final.weight"], state["module.final.bias"])


def published(filters: int = 32) -> tuple[dict[str, Tensor], nn.Module]:
    """A random checkpoint's state dict with robosat.pink's keys, and the ResNet-50 that is part of it."""
    torch.manual_seed(0)
    resnet = torchvision.models.resnet50(weights=None)
    resnet.conv1 = nn.Conv2d(4, 64, kernel_size=7, stride=2, padding=3, bias=False)
    for module in resnet.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training: no statistic at its start value
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.8, 1.2)
            nn.init.uniform_(module.weight, 0.5, 1.0)
    state = {f"module.resnet.{key}": value for key, value in resnet.state_dict().items()}
    f = filters
    widths = {
        "center": (2048, 8 * f),
        "dec0": (2048 + 8 * f, 8 * f),
        "dec1": (1024 + 8 * f, 8 * f),
        "dec2": (512 + 8 * f, 2 * f),
        "dec3": (256 + 2 * f, 4 * f),
        "dec4": (4 * f, f),
    }
    for name, (into, out) in widths.items():
        state[f"module.{name}.block.block.weight"] = nn.Conv2d(into, out, 3).weight.detach()
    state["module.dec5.block.weight"] = nn.Conv2d(f, f, 3).weight.detach()
    state["module.final.weight"] = nn.Conv2d(f, 1, 1).weight.detach()
    state["module.final.bias"] = torch.randn(1)
    return state, resnet


def without_head(state: dict[str, Tensor]) -> dict[str, Tensor]:
    plain = {key.removeprefix("module."): value for key, value in state.items()}
    return {key: value for key, value in plain.items() if not key.startswith("resnet.fc.")}


def test_a_published_checkpoint_loads_and_gives_the_logits_of_the_original() -> None:
    state, resnet = published()
    network = TernausV2("resnet50").eval()
    network.load_state_dict(without_head(state), strict=True)
    tiles = torch.randn(2, 4, 128, 192)
    with torch.inference_mode():
        expected = published_forward(state, resnet.eval(), tiles)
        logits = network(tiles)
    assert logits.shape == (2, 1, 128, 192)
    assert expected.std() > 1e-3, "the reference must depend on its input"
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


def test_a_checkpoint_of_this_network_has_the_published_keys_and_no_others() -> None:
    state, _ = published(filters=4)
    assert set(TernausV2("resnet50", num_filters=4).state_dict()) == set(without_head(state))


@settings(max_examples=25)
@given(
    into=st.integers(1, 5),
    out=st.integers(1, 5),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_a_decoder_block_and_its_gradients_are_those_of_upsampling_and_convolving(
    into: int, out: int, height: int, width: int, seed: int
) -> None:
    torch.manual_seed(seed)
    block = DecoderBlock(into, out).double()
    weight = block.block.block.weight
    x = torch.randn(2, into, height, width, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, out, 2 * height, 2 * width, dtype=torch.float64)
    ours, plain = block(x), upsample_then_convolve(x, weight)
    torch.testing.assert_close(ours, plain)
    gradients = torch.autograd.grad(ours, (x, weight), upstream)
    torch.testing.assert_close(gradients, torch.autograd.grad(plain, (x, weight), upstream))


def test_mixed_precision_stays_within_its_rounding_and_trains_the_single_precision_weights() -> None:
    torch.manual_seed(0)
    block, x = DecoderBlock(8, 8), torch.randn(1, 8, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = block(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), block(x), rtol=0.02, atol=0.02)
    half.float().mean().backward()
    assert block.block.block.weight.grad is not None
    assert block.block.block.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnext50_32x4d"])
def test_any_resnet_encoder_of_the_library_takes_part_under_torchvisions_keys(name: str) -> None:
    network = TernausV2(name, in_channels=5, classes=2, num_filters=4).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 5, 64, 128)).shape == (1, 2, 64, 128)
    keys = set(torchvision.models.get_model(name, weights=None).state_dict()) - {"fc.weight", "fc.bias"}
    assert set(network.encoder.state_dict()) == keys


@pytest.mark.parametrize(("name", "hint"), [("resnet9", "resnet"), ("efficientnet-b0", "resnet18, ")])
def test_an_encoder_that_is_no_resnet_is_refused_by_name(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'.*{hint}"):
        TernausV2(name)


def test_a_tile_whose_side_does_not_divide_by_64_is_refused_before_any_work() -> None:
    network = TernausV2("resnet18", num_filters=2)
    with pytest.raises(ValueError, match="divide by 64, got 64 x 96 px"):
        network(torch.randn(1, 4, 64, 96))
