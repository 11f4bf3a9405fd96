"""The story of one run, from a checked config to its result."""

import contextlib
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import TQDMProgressBar

from snowcover import checkpoints, machine, network
from snowcover.config import Config
from snowcover.data.dataset import load_dataset
from snowcover.machine import Device
from snowcover.scoring.objective import best_value
from snowcover.signals import process_group_errors, stopping_on_signals
from snowcover.tracking import Recorder, recorded
from snowcover.training import finish, resume
from snowcover.training.batches import Batches
from snowcover.training.build import Learner, build_learner, build_module
from snowcover.training.context import TrainingRun
from snowcover.training.disk_space import check_room
from snowcover.training.epochs import Epochs
from snowcover.training.inputs import record_inputs
from snowcover.training.metric_logger import MetricLogger
from snowcover.training.module import TestTotals
from snowcover.training.resume import ResumePoint
from snowcover.training.run_folder import folder_lock, move_log
from snowcover.training.summary import run_name


def fit(config: Config, folder: Path, overrides: Sequence[str], own_store: bool = False) -> float:
    """Train, choose the best epoch, test it, and record all of it.

    Args:
        folder: where the run keeps its files.
        overrides: what the user changed, as `key=value`; they name the run and tag it.
        own_store: MLflow's store is a job's own: a run that it does not hold is recorded there as a new one.

    Returns:
        The objective: the best val_iou, between 0 and 1; NaN where no validation pixel could be scored.

    Raises:
        UserError: what was trained until then is in last.ckpt.
        Stopped: Ctrl-C or SIGTERM; the run is marked KILLED and can be resumed.
        LostProcess: another of the processes that train this run together has ended.
    """
    machine.configure_process()
    machine.reset_peak_memory()
    with stopping_on_signals():
        device = machine.device(config.hw)
        lightning.seed_everything(config.seed)
        start = resume.resume_point(config, folder)
        is_first = machine.rank() == 0  # which alone writes
        with folder_lock(start.checkpoint_dir) if is_first else contextlib.nullcontext():
            if start.folder.resolve() != folder.resolve():
                move_log(folder, start.folder)
            if not start.training_left(config.trainer) and (complete := finish.complete_result(start)) is not None:
                return float(complete["objective"])
            if is_first:
                resume.fetch_best(start)
            return _run(config, start, overrides, device, own_store)


def _run(config: Config, start: ResumePoint, overrides: Sequence[str], device: Device, own_store: bool) -> float:
    """What is left to do of a run: built, trained, tested, recorded."""
    learner = build_learner(config, start)
    result = None if start.training_left(config.trainer) else finish.saved_result(start)
    with (
        finish.not_recorded_errors(start) as is_saved,
        _recorder(config, start, overrides, own_store) as recorder,
    ):
        if recorder is not None:
            check_room(learner.network, config.optimizer, start.checkpoint_dir, recorder.local_artifacts())
        run = _built(config, start, overrides, device, learner)
        if recorder is not None:
            record_inputs(run, recorder)
        if result is None:
            totals = _trained_and_tested(run, recorder)
            result = finish.save_result(run, totals) if recorder is not None else None
        else:
            finish.load_best(run)
        if recorder is not None and result is not None:
            is_saved.set()
            finish.record_result(run, result, recorder)
    if recorder is not None and result is not None:
        finish.finish(run, result, recorder.experiment_id)
    return best_value(run.metadata.history)


def _recorder(
    config: Config, start: ResumePoint, overrides: Sequence[str], own_store: bool
) -> AbstractContextManager[Recorder | None]:
    """None in all processes but the first."""
    if machine.rank() > 0:
        return contextlib.nullcontext()
    name, tracking = run_name(config, overrides), config.tracking
    return recorded(
        tracking.uri, config.experiment_name, name, tracking.system_metrics, start.run_id, tracking.tags, own_store
    )


def _built(
    config: Config, start: ResumePoint, overrides: Sequence[str], device: Device, learner: Learner
) -> TrainingRun:
    dataset = load_dataset(config)
    tile_bytes = network.tile_memory_bytes(learner.network, dataset.statistics.input_shape)
    network.check_memory(tile_bytes, config.trainer.batch_size, device.memory_bytes)
    module = build_module(config, start, dataset, learner, device)
    return TrainingRun(config, start, overrides, device, dataset, module)


def _trained_and_tested(run: TrainingRun, recorder: Recorder | None) -> TestTotals:
    trainer = _trainer(run, recorder)
    with process_group_errors(run.device.processes):
        if run.start.training_left(run.config.trainer):
            _train(trainer, run)
        trainer.strategy.barrier()  # the first process has only just named the best one
        if trainer.is_global_zero:  # which alone has that file on several machines, and shares its weights
            finish.load_best(run)
        return finish.test(trainer, run.module, Batches(run.dataset, run.config))


def _trainer(run: TrainingRun, recorder: Recorder | None) -> lightning.Trainer:
    config, device = run.config, run.device
    is_terminal = recorder is not None and sys.stderr.isatty()
    epochs = Epochs(
        run.start.checkpoint_dir,
        MetricLogger(recorder, resumed=run.start.metadata is not None) if recorder is not None else None,
        config.trainer.patience_epochs,
        len(run.dataset.of("train")),
        print_epochs=recorder is not None and not is_terminal,
    )
    return lightning.Trainer(
        accelerator=device.accelerator,
        devices=device.count,
        num_nodes=device.machines,
        strategy="ddp" if device.processes > 1 else "auto",
        precision=device.precision,
        max_epochs=config.trainer.max_epochs,
        accumulate_grad_batches=config.trainer.accumulate_batches,
        gradient_clip_val=config.trainer.gradient_clip_norm,
        callbacks=[epochs, *([TQDMProgressBar(leave=True)] if is_terminal else [])],
        plugins=[checkpoints.WholeFileIO()],
        default_root_dir=run.start.folder,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=is_terminal,
    )


def _train(trainer: lightning.Trainer, run: TrainingRun) -> None:
    batch_size = run.config.trainer.batch_size
    if trainer.is_global_zero:  # which alone writes
        resume.copy_last(run.start, run.metadata.run_id)
    try:
        trainer.fit(run.module, datamodule=Batches(run.dataset, run.config), ckpt_path=run.start.resumed_from)
    except torch.cuda.OutOfMemoryError as error:
        raise network.DoesNotFit(
            f"A batch of {batch_size} tiles does not fit in the GPU's memory: lower trainer.batch_size and raise "
            "trainer.accumulate_batches as much."
        ) from error
    trainer.callbacks[0].record(run.module)  # type: ignore[attr-defined]
