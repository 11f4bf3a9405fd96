"""What comes between composing a config and making the run's folder: what is refused there leaves nothing behind."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import setup_globals
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from snowcover.cli import Command, PassedThrough
from snowcover.secret_arguments import hide_secrets_of_config


class ValidationCallback(Callback):
    """Hydra calls it before the folder of a run or sweep is made; `command` is the module of that command."""

    def __init__(self, command: str) -> None:
        self._command: Command = import_module(command).COMMAND

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Check the config of a single run.

        Raises:
            PassedThrough: around the error that the check found.
        """
        with _passing_through():
            expand_tilde(config, "run")
            with known_to_hydra(config, config.hydra.run.dir):
                self._command.check(config)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """What is the same for all jobs; each job is checked by the launcher, when the sweeper has said what it is."""
        from snowcover.overrides import given_overrides, texts_quoted
        from snowcover.validation import check_given
        from snowcover.writable import refuse_unwritable

        with _passing_through(), known_to_hydra(config, None), _of_no_job():
            expand_tilde(config, "sweep")
            parsed = OverridesParser.create().parse_overrides(given_overrides(config.hydra))
            fixed = {one.key_or_group for one in parsed if not one.is_sweep_override()}
            check_given(self._command.schema(), config, fixed)
            refuse_unwritable(self._command.places(config))
            if params := config.hydra.sweeper.get("params"):  # overrides, too, but of a file
                with open_dict(config):
                    quoted = texts_quoted([f"{key}={value}" for key, value in params.items()], self._command.schema)
                    config.hydra.sweeper.params = dict(one.split("=", 1) for one in quoted)
        hide_secrets_of_config(config)  # which the sweeper writes into its folder


def expand_tilde(config: DictConfig, mode: str) -> None:
    """Put the user's home in place of `~` in hydra.run.dir or hydra.sweep.dir."""
    from snowcover.paths import expanded
    from snowcover.validation import ConfigError

    node = config.hydra[mode]
    raw = OmegaConf.to_container(node, resolve=False)
    assert isinstance(raw, dict)
    if raw["dir"] != "???":
        try:
            node.dir = expanded(str(raw["dir"]))
        except ValueError as error:
            raise ConfigError(f"hydra.{mode}.dir={raw['dir']}: {error}.") from error


@contextmanager
def known_to_hydra(config: DictConfig, folder: str | Path | None) -> Iterator[None]:
    """What a config refers to as `${hydra:...}` can be resolved, as it can be while the task runs in that folder."""
    before = HydraConfig.instance().cfg
    if folder is not None:
        with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = os.path.abspath(folder)
    HydraConfig.instance().set_config(config)  # which makes Hydra's node of it read-only
    try:
        with read_write(config.hydra):
            yield
    finally:
        HydraConfig.instance().cfg = before
        OmegaConf.set_readonly(config.hydra, False)


@contextmanager
def _of_no_job() -> Iterator[None]:
    """Within the block `${hydra:job.num}` has no value: each job will have its own. Hydra itself gives None for it."""
    OmegaConf.register_new_resolver(
        "hydra",
        lambda path: OmegaConf.select(cast(DictConfig, HydraConfig.get()), path, throw_on_missing=True),
        replace=True,
    )
    try:
        yield
    finally:
        setup_globals()


@contextmanager
def _passing_through() -> Iterator[None]:
    """Hydra makes warnings of what a callback raises, unless it is no Exception."""
    try:
        yield
    except Exception as error:
        raise PassedThrough(error) from error
