"""The networks of robosat.pink's checkpoints, which do not say how they were built: their weights' shapes do."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from snowcover import checkpoints
from snowcover.checkpoints import BadCheckpoint
from snowcover.models.ternausv2 import TernausV2

ENCODER_BY_BLOCKS = {6: "resnet50", 23: "resnet101", 36: "resnet152"}  # blocks of layer 3; all that it could train
STEM, HEAD = "resnet.conv1.weight", "final.weight"


def network_of(checkpoint: Mapping[str, Any], bands: Sequence[str], uri: str) -> nn.Module:
    """Its network with its weights, made to give one logit where it has the classes background and snow.

    Raises:
        BadCheckpoint: other weights, other classes, or as many channels as there are no bands.
    """
    weights = checkpoints.network_weights(checkpoint)
    blocks = {key.split(".")[2] for key in weights if key.startswith("resnet.layer3.")}
    if not (len(blocks) in ENCODER_BY_BLOCKS and STEM in weights and HEAD in weights):
        raise BadCheckpoint(
            f"{uri} does not say what network it is of, and its weights are none of robosat.pink's albunet: give a "
            "checkpoint of snowcover."
        )
    channels, width = weights[STEM].shape[1], weights[HEAD].shape[1]
    if channels != len(bands):
        raise BadCheckpoint(f"{uri} takes {channels} bands, and bands names {len(bands)} ({', '.join(bands)}).")
    network = TernausV2(ENCODER_BY_BLOCKS[len(blocks)], channels, 1, width)
    checkpoints.load_network(network, {"state_dict": _one_class(weights, uri)}, uri)
    return network


def _one_class(weights: Mapping[str, Tensor], uri: str) -> dict[str, Tensor]:
    """The softmax of two logits is the sigmoid of their difference."""
    classes = weights[HEAD].shape[0]
    if classes == 1:
        return dict(weights)
    if classes != 2:
        raise BadCheckpoint(f"{uri} has {classes} classes: maps are of one, snow, or of two, background and snow.")
    head = {key: weights[key][1:] - weights[key][:1] for key in (HEAD, "final.bias")}
    return {**weights, **head}
