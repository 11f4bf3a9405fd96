"""`python -m snowcover.train`: compose -> check -> train. Imports nothing heavy before the config is right."""

import logging
import math
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf, open_dict

from snowcover.command import run

if TYPE_CHECKING:
    from snowcover.config import Config


def train(composed: DictConfig) -> float:
    """One run of the composed config; returns its objective, the best val_iou, to a sweeper."""
    from hydra.core.hydra_config import HydraConfig

    from snowcover.checking import check
    from snowcover.config import Config

    with open_dict(composed):  # both say how a job is sent, which does not concern the machine that trains
        launch, _ = composed.pop("launch"), composed.pop("aws")
    if launch.dry_run:
        print(OmegaConf.to_yaml(composed, resolve=True))
        return math.nan
    config = check(Config, composed)

    hydra_config = HydraConfig.get()
    folder = Path(os.path.relpath(hydra_config.runtime.output_dir))  # as short as the user would type it
    return fit(config, folder, list(hydra_config.overrides.task))


def fit(config: "Config", folder: Path, overrides: list[str]) -> float:
    """`snowcover.training.fit`, imported only now that the config is right."""
    # Read when torch loads: waiting threads that spin take most of a core from whatever else runs here.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    # What the old ones (versions.py) have to say when they load.
    logging.getLogger("torch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
    from snowcover import training

    return training.fit(config, folder, overrides)


def main() -> None:
    run(train, "config")


if __name__ == "__main__":
    main()
