"""The Hydra launcher. Imported at every start of the command, so it must not import anything heavy."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, configure_log, run_job, setup_globals
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from snowcover.overrides import given_overrides
from snowcover.validation_callback import expand_tilde, known_to_hydra
from snowcover_launch.compose import CachingConfigLoader

log = logging.getLogger(__name__)

SWEEPERS_FILE = "multirun.yaml"


@dataclass
class SnowcoverLauncherConf:
    """What `hydra/launcher=snowcover` composes; its options are the config's own `launch`, `aws` and `hw`."""

    _target_: str = "hydra_plugins.snowcover_launcher.SnowcoverLauncher"


ConfigStore.instance().store(
    group="hydra/launcher", name="snowcover", node=SnowcoverLauncherConf, provider="snowcover_launcher"
)


class HigherIsBetter(Callback):
    """Makes an Optuna sweeper, which by default minimizes, maximize the objective, an IoU, and continue after failed
    trials."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called before the sweeper is created; a direction or rate given by the user is left unchanged."""
        sweeper, given = config.hydra.sweeper, given_overrides(config.hydra, "hydra")
        ours = {"direction": "maximize", "max_failure_rate": 1.0}  # any number of trials may fail
        for key, value in ours.items():
            if key in sweeper and not any(f"sweeper.{key}" in override for override in given):
                sweeper[key] = value


class SnowcoverLauncher(Launcher):
    """One launcher for all backends: each job runs where its own `hw` says, so that `hw` can be swept, too."""

    def __init__(self) -> None:
        self._sweep: Any = None  # one for all batches of an optimizing sweeper
        self._folders: set[Path] = set()  # of the jobs of all batches

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra once, before the first batch of jobs; notes which folders the sweep itself creates."""
        if not isinstance(hydra_context.config_loader, CachingConfigLoader):
            hydra_context.config_loader = CachingConfigLoader(hydra_context.config_loader)  # type: ignore[assignment]
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
        folder = Path(config.hydra.sweep.dir)
        self._created_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        """folders that do not exist before the sweeper creates the sweep's folder, the innermost first"""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs, wait for them, and return the result of each, in order.

        Raises:
            UserError: a job of the batch is wrong or may not be started; none was started.
            Stopped: Ctrl-C or SIGTERM.
        """
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        composed = [self._composed(initial_job_idx + i, overrides) for i, overrides in enumerate(job_overrides)]
        try:
            returns = self._run(composed, self._swept_overrides(job_overrides))
        except BaseException:
            self._remove_empty_folder()
            raise
        if any(OmegaConf.select(config, "launch.dry_run") for config in composed):
            self._remove_empty_folder()
        return returns

    def _run(self, composed: list[DictConfig], swept: list[list[str]]) -> list[JobReturn]:
        command = getattr(self.task_function, "command", None)
        if command is None:  # another application that chose this launcher
            return [self.run_here(config) for config in composed]

        from snowcover_launch.plan import naming_job, refuse_shared_folders

        refuse_shared_folders(composed, self._folders)
        if not all("launch" in config for config in composed):  # a command that runs here only
            for config, given in zip(composed, swept, strict=True):
                with naming_job(config.hydra.job.num, given, len(composed)), known_to_hydra(config, None):
                    command.check(config)
            return [self.run_here(config) for config in composed]

        from snowcover_launch.sweep import Sweep

        self._sweep = self._sweep or Sweep(self.config, self.run_here, self._hw_of)
        returns: list[JobReturn] = self._sweep.run(composed, swept)
        return returns

    def _remove_empty_folder(self) -> None:
        """Remove the folders that the sweeper created, if nothing was started."""
        with suppress(OSError):  # stays if it contains anything else
            folder = Path(self.config.hydra.sweep.dir)
            if folder in self._created_folders and {path.name for path in folder.iterdir()} <= {SWEEPERS_FILE}:
                (folder / SWEEPERS_FILE).unlink(missing_ok=True)
                for path in self._created_folders:
                    path.rmdir()

    def run_here(self, config: DictConfig) -> JobReturn:
        """One job in this process, as Hydra's own launcher runs it."""
        job = run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return job

    def _swept_overrides(self, job_overrides: Sequence[Sequence[str]]) -> list[list[str]]:
        """Those of each job's overrides that are swept: the sweeper repeats the ones fixed for all jobs."""
        given = OverridesParser.create().parse_overrides(given_overrides(self.config.hydra))
        fixed = {override.get_key_element() for override in given if not override.is_sweep_override()}
        return [
            [override for override in overrides if override.partition("=")[0] not in fixed]
            for overrides in job_overrides
        ]

    def _hw_of(self, name: str) -> dict[str, Any]:
        """The keys of hw that `hw=NAME` composes, whatever this command sets; empty if there is no such file."""
        try:
            config = self.hydra_context.config_loader.take(self.config, [f"hw={name}"])  # type: ignore[attr-defined]
        except HydraException:
            return {}
        return dict(config.hw)

    def _composed(self, number: int, overrides: Sequence[str]) -> DictConfig:
        config = self.hydra_context.config_loader.take(self.config, overrides)  # type: ignore[attr-defined]
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        expand_tilde(config, "sweep")
        return config
