"""Networks that are not ours: given what they take, refused where their maps are no masks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snowcover import network
from snowcover.validation import ConfigError
from tests.making import BANDS

HERE = __name__


class Whole(nn.Module):
    """Takes what is documented."""

    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(in_channels, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, classes, H, W]."""
        return self.layer(image)


class Fixed(Whole):
    """Takes nothing."""

    def __init__(self) -> None:
        super().__init__(4, 1)


class Anything(Whole):
    """Takes the channels among other things."""

    def __init__(self, **keys: int) -> None:
        super().__init__(**keys)


class WithWeights(Whole):
    """Knows of weights itself."""

    def __init__(self, in_channels: int, classes: int, encoder_name: str, encoder_weights: str | None) -> None:
        super().__init__(in_channels, classes)
        self.got = (encoder_name, encoder_weights)


class OfRgb(Whole):
    """Takes three bands, whatever is asked."""

    def __init__(self) -> None:
        super().__init__(3, 1)


class Named(Whole):
    """Gives a dictionary, as torchvision's do."""

    def forward(self, image: Tensor) -> Any:
        """[N, C, H, W] -> named maps."""
        return {"out": self.layer(image)}


class Flat(Whole):
    """Gives a map without a channel."""

    def forward(self, image: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, H, W]."""
        return self.layer(image)[:, 0]


class Broken(nn.Module):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no licence")


def build(name: str, pretrained: bool = True, **keys: Any) -> nn.Module:
    return network.build({"_target_": f"{HERE}.{name}", **keys}, BANDS, pretrained)


@pytest.mark.parametrize(
    "keys", [{}, {"encoder_weights": None}, {"in_channels": 4}], ids=["nothing", "null weights", "right channels"]
)
@pytest.mark.parametrize("name", ["Whole", "Anything"])
def test_a_class_gets_what_it_takes(name: str, keys: dict[str, Any]) -> None:
    made = build(name, **keys)
    assert network.tile_memory_bytes(made, (4, 16, 16)) > 0


def test_a_class_that_takes_nothing_is_made_as_it_is() -> None:
    assert build("Fixed")(torch.zeros(1, 4, 16, 16)).shape == (1, 1, 16, 16)


def test_its_own_weights_are_its_own_matter_and_not_fetched_where_others_follow() -> None:
    keys = {"encoder_name": "mine", "encoder_weights": "snow"}
    assert build("WithWeights", **keys).got == ("mine", "snow")
    assert build("WithWeights", pretrained=False, **keys).got == ("mine", None)


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("Whole", {"in_channels": 3}, r"^model\.in_channels=3: data\.bands, data\.layers and the one class of snow"),
        ("Whole", {"encoder_weights": "imagenet"}, r"^model\.encoder_weights=imagenet: Whole has no encoder_name"),
        ("Whole", {"width": 3}, r"^model\.width: Whole takes no such key; it takes "),
        ("Broken", {}, r"^model: no licence$"),
        ("Nowhere", {}, r"there is no such class or function\.$"),
    ],
)  # fmt: skip
def test_what_a_class_does_not_take_is_reported(name: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(name, **keys)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("OfRgb", r"^OfRgb does not take tiles of 16 x 16 pixels and 4 bands and layers: .*3 channels"),
        ("Named", r"^Named gives a dict: let its forward return the logits \[N, 1, H, W\] alone\.$"),
        ("Flat", r"^Flat gives \[1, 16, 16\] for a tile of \[4, 16, 16\]: it is no mask of it"),
    ],
)
def test_a_network_whose_maps_are_no_masks_is_reported(name: str, message: str) -> None:
    with pytest.raises(network.DoesNotFit, match=message):
        network.tile_memory_bytes(build(name), (4, 16, 16))


def test_what_is_no_network_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"^model\._target_=builtins\.dict makes a dict and no torch network\.$"):
        network.build({"_target_": "builtins.dict"}, BANDS, pretrained=True)
