"""`python -m snowcover.train`: compose -> check -> train. Imports nothing heavy before the config is right."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from snowcover.cli import Command, Finished, run, without_nodes
from snowcover.overrides import as_typed, given_overrides
from snowcover.preflight import heavy_imports, places, refuse_unfit_run
from snowcover.secrets import masked_values

if TYPE_CHECKING:
    from snowcover.config import Config

OF_THE_LAUNCHER = ("aws", "launch")  # how a job is sent does not concern the machine that trains


def schema() -> "type[Config]":
    """With the launcher's keys, for what is text there is text, too."""
    from snowcover_launch.config import JobConfig

    return JobConfig


def check(composed: DictConfig) -> None:
    """Refuse a composed config, before any folder is made, for all that can be known without its tiles.

    Raises:
        UserError
        Finished: it was only to be shown.
    """
    from snowcover.config import Config
    from snowcover.validation import check
    from snowcover.yaml_texts import refuse_changed_texts

    refuse_changed_texts(schema(), composed)
    own = without_nodes(composed, "hydra", *OF_THE_LAUNCHER)
    if OmegaConf.select(composed, "launch.dry_run"):
        print(OmegaConf.to_yaml(OmegaConf.create(masked_values(OmegaConf.to_container(own, resolve=True)))))
        raise Finished
    config = check(Config, own)
    refuse_unfit_run(config, Path(composed.hydra.run.dir), places(composed))


def train(composed: DictConfig) -> float:
    """One run of the composed config; returns its objective, the best val_iou, to a sweeper."""
    from hydra.core.hydra_config import HydraConfig

    from snowcover.config import Config
    from snowcover.validation import check

    config = check(Config, without_nodes(composed, *OF_THE_LAUNCHER))
    hydra_config = HydraConfig.get()
    folder = Path(os.path.relpath(hydra_config.runtime.output_dir))  # as short as the user would type it
    return fit(config, folder, [as_typed(one) for one in given_overrides(hydra_config)])


def fit(config: "Config", folder: Path, overrides: list[str], own_store: bool = False) -> float:
    """`snowcover.training.run.fit`, imported only now that the config is right."""
    with heavy_imports("snowcover.training.run"):
        from snowcover.training import run

    return run.fit(config, folder, overrides, own_store)


COMMAND = Command("config", schema, check, places, train)


def main() -> None:
    """`python -m snowcover.train` and `snowcover-train`."""
    run(COMMAND)


if __name__ == "__main__":
    main()
