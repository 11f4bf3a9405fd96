"""Composes configs for the launcher: each job of a sweep once, and the account for other commands."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from snowcover_launch.config import AwsConfig


class CachingConfigLoader:
    """Hydra's config loader, with a cache of what the sweeper composes until the launcher takes it.

    Hydra's own sweeper composes all jobs only to validate them, and drops the configs.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._composed: defaultdict[tuple[str, ...], list[DictConfig]] = defaultdict(list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Compose the config of one job for the sweeper, and cache it."""
        config: DictConfig = self._loader.load_sweep_config(master_config, sweep_overrides)
        self._composed[tuple(sweep_overrides)].append(config)
        return config

    def take(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """The config of one job, for the caller to own and change: from the cache, else composed now."""
        if cached := self._composed[tuple(sweep_overrides)]:
            return cached.pop()
        config: DictConfig = self._loader.load_sweep_config(master_config, list(sweep_overrides))
        return config


def composed_config(overrides: list[str]) -> Any:
    """The config of a job with these overrides, key=value."""
    import hydra

    from snowcover.config_root import conf_dir
    from snowcover.overrides import texts_quoted
    from snowcover_launch.config import JobConfig

    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return hydra.compose("config", overrides=texts_quoted(overrides, lambda: JobConfig))


def aws_config(overrides: list[str]) -> "AwsConfig":
    """The account keys of the config with these overrides.

    Raises: ConfigError
    """
    from snowcover.validation import check
    from snowcover_launch.config import AwsConfig

    return check(AwsConfig, composed_config(overrides).aws)
