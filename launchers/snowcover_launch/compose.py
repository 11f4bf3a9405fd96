"""Configs composed for the launcher: each job of a sweep once, and the account for commands that are no sweep."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from snowcover_launch.config import AwsConfig


class RememberingLoader:
    """Hydra's config loader, which keeps what the sweeper composes until the launcher takes it.

    Hydra's own sweeper composes all jobs to see that they can be, and forgets them.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._composed: defaultdict[tuple[str, ...], list[DictConfig]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The config of one job; the sweeper looks at it and lets it go."""
        config: DictConfig = self._loader.load_sweep_config(master_config, sweep_overrides)
        self._composed[tuple(sweep_overrides)].append(config)
        return config

    def take(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """The same for its one owner, who may alter it: what the sweeper composed, else composed now."""
        if kept := self._composed[tuple(sweep_overrides)]:
            return kept.pop()
        config: DictConfig = self._loader.load_sweep_config(master_config, list(sweep_overrides))
        return config


def composed_config(overrides: list[str]) -> Any:
    """The config as a job would have it with these overrides, key=value."""
    import hydra

    from snowcover.config_root import conf_dir
    from snowcover.overrides import texts_quoted
    from snowcover_launch.config import JobConfig

    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config", overrides=texts_quoted(overrides, lambda: JobConfig))


def aws_config(overrides: list[str]) -> "AwsConfig":
    """The account as the config with these overrides names it.

    Raises: ConfigError
    """
    from snowcover.validation import check
    from snowcover_launch.config import AwsConfig

    return check(AwsConfig, composed_config(overrides).aws)
