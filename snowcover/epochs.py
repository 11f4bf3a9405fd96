"""What happens at the end of each epoch: scores, checkpoints, records, early stopping."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import lightning

from snowcover import calibration, checkpoints, machine
from snowcover.errors import UserError, first_line
from snowcover.finite import NotFinite, diverged, not_finite, some_of
from snowcover.metrics import ends_with_best, epoch_number, patience_over
from snowcover.stopping import retake_signals, uninterrupted
from snowcover.task import SnowTask

log = logging.getLogger(__name__)

# Steps told that a checkpoint still holds, for a store that lost the last of them: a job's own, on a machine that was
# taken away, is as old as its last copy.
KEPT_STEPS = 5000
CHECKED_STEPS = 50  # at a time for being finite: to look at each would make the device wait


class Store(Protocol):
    """What holds a run's metrics."""

    def metrics(self, rows: Sequence[tuple[int, Mapping[str, float]]], /) -> None:
        """Add rows of (step, values) to the run."""

    def last_step(self, metric: str, /) -> int:
        """The highest step that a metric has in the store, -1 for none."""


class Telling:
    """Tells a store each value once, whatever it holds from before the run was interrupted."""

    def __init__(self, store: Store, resumed: bool) -> None:
        self._store = store
        self._told: dict[str, int] = {}  # the highest step of each metric
        self._ask = resumed

    def __call__(self, rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
        """Rows of (step, values), of which each metric's steps rise; any of them may have been told before.

        Raises:
            Exception: the store's own kinds; what it did take will not be told again.
        """
        try:
            new = [(step, {k: v for k, v in values.items() if step > self._last(k)}) for step, values in rows]
            self._store.metrics([(step, values) for step, values in new if values])
        except Exception:
            self._told, self._ask = {}, True
            raise
        self._told.update({name: step for step, values in new for name in values})

    def _last(self, metric: str) -> int:
        if metric not in self._told:
            self._told[metric] = self._store.last_step(metric) if self._ask else -1
        return self._told[metric]


class Epochs(lightning.Callback):
    """Keeps the history, saves `last` and `best`, and tells the recorder.

    `last` is saved first, with all that training goes on with and what is yet to be told: whatever moment a run is
    killed at, going on from `last` tells each epoch once. `best` has the weights alone. An epoch whose loss or weights
    are not finite leaves both as they were.
    """

    def __init__(
        self, folder: Path, tell: Telling | None, patience_epochs: int | None, tiles: int, show_epochs: bool
    ) -> None:
        """`tell` is None in all processes but the first."""
        self._folder = folder
        self._tell = tell
        self._patience_epochs = patience_epochs
        self._tiles = tiles
        self._show_epochs = show_epochs
        self._started = 0.0
        self._trained = 0.0
        self._away = False  # MLflow, which is told once an outage and not once an epoch

    def on_train_start(self, trainer: lightning.Trainer, task: SnowTask) -> None:  # type: ignore[override]
        """Save `last` before anything is learned; a resumed run tells again what it knows."""
        retake_signals()
        if not task.about["history"]:
            with uninterrupted():
                trainer.save_checkpoint(self._folder / checkpoints.LAST)  # killed in its first epoch, it goes on, too
        else:
            self.record(task)  # what is known of it so far, for a store that has lost it, or never had it

    def on_test_start(self, trainer: lightning.Trainer, task: SnowTask) -> None:  # type: ignore[override]
        """Signals stop the test, too."""
        retake_signals()

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: SnowTask) -> None:  # type: ignore[override]
        """The clock of `tiles_per_second` starts."""
        self._started = time.perf_counter()

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: lightning.Trainer, task: SnowTask, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Every CHECKED_STEPS batches, losses are checked.

        Raises:
            NotFinite
        """
        if (batch_idx + 1) % CHECKED_STEPS == 0:
            _check_steps(trainer, task)

    def on_validation_start(self, trainer: lightning.Trainer, task: SnowTask) -> None:  # type: ignore[override]
        """The rest of the epoch's losses is checked, and the clock stops.

        Raises:
            NotFinite
        """
        _check_steps(trainer, task)
        self._trained = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: SnowTask) -> None:  # type: ignore[override]
        """Check the weights, extend the history, save `last` and perhaps `best`, record; stop if patience is over.

        Raises:
            NotFinite
        """
        _check_epoch(trainer, task)
        task.step_plateau()
        row = self._row(trainer, task)
        history = task.about["history"]
        history.append(row)
        task.about["temperature"] = calibration.temperature(history)
        task.about["steps"] += _steps(trainer, task)
        with uninterrupted():
            trainer.save_checkpoint(self._folder / checkpoints.LAST)
            if trainer.is_global_zero and ends_with_best(history):
                weights = {"state_dict": task.state_dict(), "snowcover": task.about}
                checkpoints.save(weights, self._folder / checkpoints.BEST)
        self.record(task)
        if self._show_epochs:
            log.info(epoch_line(row, trainer.max_epochs))
        trainer.should_stop = trainer.should_stop or patience_over(history, self._patience_epochs)

    def record(self, task: SnowTask) -> None:
        """Tell the recorder what it does not have yet; a failure now is made good after the next epoch."""
        if self._tell is None:
            task.about["steps"] = []
            return
        try:
            self._tell(rows_to_tell(task.about))
        except Exception as error:
            if not self._away:
                why = str(error) if isinstance(error, UserError) else first_line(error)
                log.warning("The epochs from here on are recorded once MLflow takes them: %s", why)
            self._away = True
        else:
            self._away = False
            task.about["steps"] = task.about["steps"][-KEPT_STEPS:]

    def _row(self, trainer: lightning.Trainer, task: SnowTask) -> dict[str, float]:
        return {
            "epoch": trainer.current_epoch,
            **{f"train_{name}": value for name, value in task.train_scores().items()},
            **{f"val_{name}": value for name, value in {**task.val_scores(), **task.val_temperature()}.items()},
            "lr_at_end": task.learning_rate,
            "tiles_per_second": self._tiles / (self._trained - self._started),
            "peak_memory_gb": machine.peak_memory_gb(),
        }


def rows_to_tell(about: Mapping[str, Any]) -> list[tuple[int, Mapping[str, float]]]:
    """Steps and epochs of a run, each with its values, as its checkpoint has them."""
    steps = [(step, {"loss": loss, "lr": lr}) for step, loss, lr in about["steps"]]
    return [*steps, *((row["epoch"], {k: v for k, v in row.items() if k != "epoch"}) for row in about["history"])]


def _check_steps(trainer: lightning.Trainer, task: SnowTask) -> None:
    """Raises NotFinite where the loss of a step since the last look was not finite, in all processes alike."""
    if (bad := task.first_not_finite_step()) is None:
        return
    number = trainer.fit_loop.epoch_loop.total_batch_idx + 1 - bad.ago
    where = f"in epoch {epoch_number(trainer.current_epoch)}, at step {number}"
    raise _diverged(trainer, f"The training loss is not finite {where}", bad.lr)


def _check_epoch(trainer: lightning.Trainer, task: SnowTask) -> None:
    """Raises NotFinite where the validation loss, a weight or a running statistic is not finite after an epoch."""
    where = f"after epoch {epoch_number(trainer.current_epoch)}"
    broken = not_finite(task.state_dict())
    if task.in_any_process(bool(broken)):  # running statistics are each process's own
        names = some_of(broken) or "in another process"
        raise _diverged(trainer, f"Weights are not finite {where} ({names})", task.learning_rate)
    for name, scores in (("training", task.train_scores()), ("validation", task.val_scores())):
        if not math.isfinite(scores.get("loss", 0.0)):
            raise _diverged(trainer, f"The {name} loss is not finite {where}", task.learning_rate)


def _diverged(trainer: lightning.Trainer, what: str, lr: float) -> NotFinite:
    return diverged(what, lr, str(trainer.precision), trainer.gradient_clip_val)


def epoch_line(row: Mapping[str, float], max_epochs: int | None) -> str:
    """One epoch in a line that metric patterns can read."""
    values = " ".join(f"{n}={row[n]:.4f}" for n in ("train_loss", "train_iou", "val_loss", "val_iou") if n in row)
    number = epoch_number(int(row["epoch"]))
    return f"epoch={number}/{max_epochs} {values} tiles_per_second={row['tiles_per_second']:.2f}"


def _steps(trainer: lightning.Trainer, task: SnowTask) -> list[tuple[int, float, float]]:
    """Number, loss and learning rate of each step of this epoch."""
    steps = task.take_steps()
    first = trainer.fit_loop.epoch_loop.total_batch_idx + 1 - len(steps)
    return [(first + index, step["loss"], step["lr"]) for index, step in enumerate(steps)]
