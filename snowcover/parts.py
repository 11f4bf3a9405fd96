"""The parts of a run that a config names by `_target_`, tried without tiles."""

import torch

from snowcover import network
from snowcover.components import call, check_component, make, maker
from snowcover.config import Config
from snowcover.task import takes


def check_parts(config: Config) -> None:
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
    optimizer = make(config.optimizer, "optimizer", params=[torch.nn.Parameter(torch.zeros(1))])
    make(config.loss, "loss")
    if config.scheduler:
        scheduler = maker(config.scheduler)
        steps = {"steps_per_epoch": 1} if takes(scheduler, "steps_per_epoch") else {}
        call(scheduler, "scheduler", optimizer, **steps)
