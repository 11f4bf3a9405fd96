"""The parts of a run that a config names by `_target_`, tried without tiles."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from snowcover import network
from snowcover.components import call, check_component, instantiate, partial
from snowcover.config import Config
from snowcover.losses.fitting import for_masks
from snowcover.training.module import takes


def make_loss(node: Mapping[str, Any]) -> nn.Module:
    """The loss of a config's node, as one that scores logits [B, 1, H, W] by a mask [B, H, W].

    Raises:
        ConfigError: it cannot be made, or is none that a network could learn snow by.
    """
    name = str(node["_target_"]).rpartition(".")[2]
    return cast(nn.Module, call(for_masks, "loss", instantiate(node, "loss"), name))


def check_components(config: Config) -> None:
    """Refuse a wrong key or value of network, loss, optimizer, scheduler or demo data before anything is paid for.

    Raises:
        ConfigError: names the key, and what its class takes.
    """
    if config.data.generate:
        check_component(config.data.generate, "data.generate")
    check_component(config.loss, "loss")
    check_component(config.optimizer, "optimizer", given=("params",))
    if config.scheduler:
        check_component(config.scheduler, "scheduler", given=("optimizer", "steps_per_epoch"))
    network.check(config.model)
    # Making them refuses a value such as a negative learning rate, too.
    optimizer = instantiate(config.optimizer, "optimizer", params=[torch.nn.Parameter(torch.zeros(1))])
    make_loss(config.loss)
    if config.scheduler:
        scheduler = partial(config.scheduler)
        steps = {"steps_per_epoch": 1} if takes(scheduler, "steps_per_epoch") else {}
        call(scheduler, "scheduler", optimizer, **steps)
