"""Where Hydra finds the config of each command, and the groups that it chooses from."""

from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

SHARED_GROUPS = ("hydra", "tracking")


def conf_dir() -> Path:
    """Where the YAML files are: inside an installed package, next to the package in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def config_root(config_name: str) -> Path:
    """The folder of a command's config.

    Hydra takes a key of a group's name for a choice of that group: a command with such a key (`model=RUN`) has a folder
    of its own, without the groups of training. Those that all commands share are then registered with Hydra.
    """
    own = conf_dir() / config_name
    if not (own / f"{config_name}.yaml").is_file():
        return conf_dir()
    store = ConfigStore.instance()
    for group in SHARED_GROUPS:
        for file in sorted((conf_dir() / group).rglob("*.yaml")):
            store.store(file.stem, OmegaConf.load(file), file.parent.relative_to(conf_dir()).as_posix())
    return own
