"""`python -m snowcover.train`: compose -> check -> train. Imports nothing heavy before the config is right."""

import os
from pathlib import Path

from omegaconf import DictConfig

from snowcover.command import run
from snowcover.errors import UserError


def train(composed: DictConfig) -> float:
    """One run of the composed config; returns its objective, the best val_iou, to a sweeper."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from snowcover.checking import check
    from snowcover.config import Config

    config = check(Config, composed)

    hydra_config = HydraConfig.get()
    if hydra_config.mode is RunMode.MULTIRUN and config.hw.devices != 1:
        raise UserError("A sweep trains each run on one device: give hw.devices=1.")

    # Read when torch loads: waiting threads that spin take most of a core from whatever else runs here.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    from snowcover.training import fit

    folder = Path(os.path.relpath(hydra_config.runtime.output_dir))  # as short as the user would type it
    return fit(config, folder, list(hydra_config.overrides.task))


def main() -> None:
    run(train, "config")


if __name__ == "__main__":
    main()
