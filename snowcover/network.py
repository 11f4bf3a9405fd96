"""The network that a config's model node describes, and whether it can take these tiles."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from segmentation_models_pytorch import encoders
from torch import Tensor, nn

from snowcover.cli import nearest
from snowcover.components import check_component, instantiate, parameters
from snowcover.encoder_weights import pretrained as pretrained_weights
from snowcover.errors import UserError
from snowcover.models.input_channels import load_encoder_weights
from snowcover.validation import ConfigError

OTHER_BANDS = " Weights learnt on other bands than RGB need their names: model.encoder_bands=[blue,green,red,nir]."
GIVEN = ("in_channels", "classes", "encoder_weights")
# Whose encoders are smp's, with filters that we lay on bands by name. Other classes do with their keys what they like.
WITH_ENCODERS_OF_SMP = ("segmentation_models_pytorch.", "snowcover.")
# Beside the activations: gradients, the optimizer's state, convolution workspaces, the batches read ahead.
USABLE_SHARE = 0.8


class DoesNotFit(UserError):
    """The network cannot take the tiles, or the memory not their batch."""


def build(node: Mapping[str, Any], bands: Sequence[str], pretrained: bool, layers: int = 0) -> nn.Module:
    """The network, with one input channel a band, as many behind them as there are of layers, and one class.

    Args:
        pretrained: load the encoder weights that the node names; False where a checkpoint replaces them.

    Raises:
        ConfigError: a key or value that the network does not take, or no network at all.
        NoWeights: the named encoder weights cannot be fetched.
    """
    check(node)
    network = instantiate(_own(node), "model", **_given(node, len(bands) + layers, pretrained))
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model._target_={node['_target_']} makes a {type(network).__name__} and no torch network.")
    weights = node.get("encoder_weights")
    if weights and pretrained and not (_is_others(node) and _names(node, "encoder_weights")):
        _fill_encoder(network, node, bands, layers)
    return network


def _own(node: Mapping[str, Any]) -> dict[str, Any]:
    """The class's own keys; the others are ours."""
    ours = {"encoder_weights"} | ({"encoder_bands"} - {name for name in node if _names(node, name)})
    return {key: value for key, value in node.items() if key not in ours}


def _given(node: Mapping[str, Any], channels: int, pretrained: bool) -> dict[str, Any]:
    """What we pass in: of the channels and classes what the class takes, and no weights that we lay ourselves."""
    found: dict[str, Any] = {
        key: value for key, value in (("in_channels", channels), ("classes", 1)) if _takes(node, key)
    }
    for key, value in found.items():
        if node.get(key, value) != value:
            raise ConfigError(
                f"model.{key}={node[key]}: data.bands, data.layers and the one class of snow make it {value}; leave it "
                "out."
            )
    # smp would fetch weights and lay red's filters on blue: it builds the bare network, we fill it.
    if _names(node, "encoder_weights"):
        found["encoder_weights"] = node.get("encoder_weights") if _is_others(node) and pretrained else None
    return found


def _fill_encoder(network: nn.Module, node: Mapping[str, Any], bands: Sequence[str], layers: int) -> None:
    encoder, weights = getattr(network, "encoder", None), node["encoder_weights"]
    if node.get("encoder_name") is None or not isinstance(encoder, nn.Module):
        raise ConfigError(
            f"model.encoder_weights={weights}: {type(network).__name__} has no encoder_name and encoder of smp to lay "
            "them on: leave it out."
        )
    state, learnt_on = pretrained_weights(node)
    try:
        load_encoder_weights(encoder, state, bands, learnt_on, layers)
    except ValueError as error:
        hint = "" if node.get("encoder_bands") else OTHER_BANDS
        raise ConfigError(f"model.encoder_weights={weights}: {error}{hint}") from error


def check(node: Mapping[str, Any]) -> None:
    """Compare a model node with its class, without building it.

    Raises:
        ConfigError: a key, a value or an encoder that there is not.
    """
    check_component(_own(node), "model", GIVEN)
    if node.get("encoder_bands") and not node.get("encoder_weights"):
        raise ConfigError("model.encoder_bands are those of model.encoder_weights=PATH, which is null: give both.")
    if node.get("encoder_name") is not None and not _is_others(node):
        _check_encoder(node["encoder_name"])


def _is_others(node: Mapping[str, Any]) -> bool:
    """Whether the class is neither ours nor smp's."""
    return not node["_target_"].startswith(WITH_ENCODERS_OF_SMP)


def _takes(node: Mapping[str, Any], name: str) -> bool:
    """Whether the class has a parameter of that name, or passes any on."""
    return _names(node, name) or any(one.kind is one.VAR_KEYWORD for one in parameters(node, "model").values())


def _names(node: Mapping[str, Any], name: str) -> bool:
    return name in parameters(node, "model")


def _check_encoder(name: str) -> None:
    known = encoders.get_encoder_names()
    if name not in known and not name.startswith("tu-"):
        raise ConfigError(
            f"model.encoder_name={name}: no such encoder{nearest(name, known)}; smp lists them all, "
            "and tu-NAME takes any of timm's."
        )


def tile_memory_bytes(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Memory that one tile [C, H, W] holds between the forward and the backward pass.

    Raises:
        DoesNotFit: the network does not take tiles of this size, or does not give a map of their size.
    """
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
    name, tile = type(network).__name__, f"tiles of {shape[2]} x {shape[1]} pixels and {shape[0]} bands and layers"
    network.eval()  # a batch of one has no statistics to normalise by
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = network(torch.zeros(1, *shape))
    except Exception as error:  # whatever a network of somebody's raises
        raise DoesNotFit(
            f"{name} does not take {tile}: {' '.join(str(error).split()) or type(error).__name__}"
        ) from error
    finally:
        network.train()
    if not isinstance(out, Tensor):
        raise DoesNotFit(f"{name} gives a {type(out).__name__}: let its forward return the logits [N, 1, H, W] alone.")
    if out.shape != (1, 1, *shape[1:]):
        raise DoesNotFit(
            f"{name} gives {list(out.shape)} for a tile of {list(shape)}: it is no mask of it, which were logits "
            f"{[1, 1, *shape[1:]]}."
        )
    return sum(size for pointer, size in seen.items() if pointer not in weights)


def check_memory(tile_bytes: int, batch_size: int, free_bytes: int) -> None:
    """Refuse a batch that would be killed for its memory.

    Raises:
        DoesNotFit: says which batch size fits.
    """
    if tile_bytes * batch_size <= free_bytes * USABLE_SHARE:
        return
    fits = int(free_bytes * USABLE_SHARE // tile_bytes)
    way_out = (
        f"trainer.batch_size={fits} fits, with trainer.accumulate_batches={-(-batch_size // fits)} for the same step"
        if fits
        else "not even one tile fits: take a smaller network or a larger machine"
    )
    raise DoesNotFit(
        f"trainer.batch_size={batch_size} needs about {tile_bytes * batch_size / 1e9:.1f} GB, "
        f"{free_bytes / 1e9:.1f} GB are free: {way_out}."
    )
