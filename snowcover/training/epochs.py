"""What happens at the end of each epoch: scores, checkpoints, records, early stopping."""

import logging
import math
import time
from pathlib import Path
from typing import Any

import lightning

from snowcover import checkpoints, machine
from snowcover.epoch_line import epoch_number, format_epoch
from snowcover.errors import UserError, first_line
from snowcover.finite import NotFinite, diverged, not_finite, some_of
from snowcover.scoring import calibration
from snowcover.scoring.objective import ends_with_best, patience_over
from snowcover.signals import defer_signals, restore_signal_handlers
from snowcover.training.metric_logger import MetricLogger, metric_rows
from snowcover.training.module import SnowModule

log = logging.getLogger(__name__)

# Logged steps that a checkpoint still holds, for a store that lost the last of them: a job's own, on an interrupted
# machine, is as old as its last copy.
KEPT_STEPS = 5000
CHECKED_STEPS = 50  # at a time for being finite: to look at each would make the device wait


class Epochs(lightning.Callback):
    """Keeps the history, saves `last` and `best`, and logs to MLflow.

    `last` is saved first, with all that training resumes from and what is yet to be logged: whatever moment a run is
    killed at, resuming from `last` logs each epoch once. `best` has the weights alone. An epoch whose loss or weights
    are not finite leaves both as they were.
    """

    def __init__(
        self, folder: Path, logger: MetricLogger | None, patience_epochs: int | None, tiles: int, print_epochs: bool
    ) -> None:
        """`logger` is None in all processes but the first."""
        self._folder = folder
        self._logger = logger
        self._patience_epochs = patience_epochs
        self._tiles = tiles
        self._print_epochs = print_epochs
        self._started = 0.0
        self._trained = 0.0
        self._unreachable = False  # MLflow: said once an outage, not once an epoch

    def on_train_start(self, trainer: lightning.Trainer, module: SnowModule) -> None:  # type: ignore[override]
        """Save `last` before anything is learned; a resumed run logs again what it knows."""
        restore_signal_handlers()
        if not module.metadata.history:
            with defer_signals():
                trainer.save_checkpoint(self._folder / checkpoints.LAST)  # a run killed in its first epoch resumes, too
        else:
            self.record(module)  # what is known of it so far, for a store that has lost it, or never had it

    def on_test_start(self, trainer: lightning.Trainer, module: SnowModule) -> None:  # type: ignore[override]
        """Signals stop the test, too."""
        restore_signal_handlers()

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: SnowModule) -> None:  # type: ignore[override]
        """The clock of `tiles_per_second` starts."""
        self._started = time.perf_counter()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: lightning.Trainer, module: SnowModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Every CHECKED_STEPS batches, losses are checked.

        Raises:
            NotFinite
        """
        if (batch_idx + 1) % CHECKED_STEPS == 0:
            _check_steps(trainer, module)

    def on_validation_start(self, trainer: lightning.Trainer, module: SnowModule) -> None:  # type: ignore[override]
        """The rest of the epoch's losses is checked, and the clock stops.

        Raises:
            NotFinite
        """
        _check_steps(trainer, module)
        self._trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: SnowModule) -> None:  # type: ignore[override]
        """Check the weights, extend the history, save `last` and perhaps `best`, record; stop if patience is over.

        Raises:
            NotFinite
        """
        _check_epoch(trainer, module)
        module.step_plateau()
        row = self._row(trainer, module)
        history = module.metadata.history
        history.append(row)
        module.metadata.temperature = calibration.temperature(history)
        module.metadata.steps += _steps(trainer, module)
        with defer_signals():
            trainer.save_checkpoint(self._folder / checkpoints.LAST)
            if trainer.is_global_zero and ends_with_best(history):
                weights = {"state_dict": module.state_dict(), checkpoints.METADATA: module.metadata.to_dict()}
                checkpoints.save(weights, self._folder / checkpoints.BEST)
        self.record(module)
        if self._print_epochs:
            log.info(format_epoch(row, trainer.max_epochs))
        trainer.should_stop = trainer.should_stop or patience_over(history, self._patience_epochs)

    def record(self, module: SnowModule) -> None:
        """Log what MLflow does not have yet; a failure now is made good after the next epoch."""
        if self._logger is None:
            module.metadata.steps = []
            return
        try:
            self._logger.log(metric_rows(module.metadata))
        except Exception as error:
            if not self._unreachable:
                why = str(error) if isinstance(error, UserError) else first_line(error)
                log.warning("The epochs from here on are recorded once MLflow takes them: %s", why)
            self._unreachable = True
        else:
            self._unreachable = False
            module.metadata.steps = module.metadata.steps[-KEPT_STEPS:]

    def _row(self, trainer: lightning.Trainer, module: SnowModule) -> dict[str, float]:
        return {
            "epoch": trainer.current_epoch,
            **{f"train_{name}": value for name, value in module.train_scores().items()},
            **{f"val_{name}": value for name, value in {**module.val_scores(), **module.val_temperature()}.items()},
            "lr_at_end": module.learning_rate,
            "tiles_per_second": self._tiles / (self._trained - self._started),
            "peak_memory_gb": machine.peak_memory_gb(),
        }


def _check_steps(trainer: lightning.Trainer, module: SnowModule) -> None:
    """Raises NotFinite where the loss of a step since the last look was not finite, in all processes alike."""
    if (bad := module.first_not_finite_step()) is None:
        return
    number = trainer.fit_loop.epoch_loop.total_batch_idx + 1 - bad.ago
    where = f"in epoch {epoch_number(trainer.current_epoch)}, at step {number}"
    raise _diverged(trainer, f"The training loss is not finite {where}", bad.lr)


def _check_epoch(trainer: lightning.Trainer, module: SnowModule) -> None:
    """Raises NotFinite where the validation loss, a weight or a running statistic is not finite after an epoch."""
    where = f"after epoch {epoch_number(trainer.current_epoch)}"
    broken = not_finite(module.state_dict())
    if module.in_any_process(bool(broken)):  # running statistics are each process's own
        names = some_of(broken) or "in another process"
        raise _diverged(trainer, f"Weights are not finite {where} ({names})", module.learning_rate)
    for name, scores in (("training", module.train_scores()), ("validation", module.val_scores())):
        if not math.isfinite(scores.get("loss", 0.0)):
            raise _diverged(trainer, f"The {name} loss is not finite {where}", module.learning_rate)


def _diverged(trainer: lightning.Trainer, what: str, lr: float) -> NotFinite:
    return diverged(what, lr, str(trainer.precision), trainer.gradient_clip_val)


def _steps(trainer: lightning.Trainer, module: SnowModule) -> list[tuple[int, float, float]]:
    """Number, loss and learning rate of each step of this epoch."""
    steps = module.take_steps()
    first = trainer.fit_loop.epoch_loop.total_batch_idx + 1 - len(steps)
    return [(first + index, step["loss"], step["lr"]) for index, step in enumerate(steps)]
