"""Each job of a sweep composed once: Hydra's own sweeper composes all to see that they can be, and forgets them."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig


class RememberingLoader:
    """Hydra's config loader, which keeps what the sweeper composes until the launcher takes it."""

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
