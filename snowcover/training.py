"""The story of one run, from a checked config to its result."""

import contextlib
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import nn

from snowcover import __version__, checkout, checkpoints, disk, ending, machine, network, report, runs, storage
from snowcover.baselines import kept
from snowcover.baselines.fitting import fit_baselines, forest_mapper
from snowcover.components import maker
from snowcover.config import Config, TrainerConfig
from snowcover.data import layer_facts
from snowcover.data.gather import Tiles, gather
from snowcover.data.layer_facts import LayerNumbers
from snowcover.data.layer_names import all_channels
from snowcover.data.loader import TileLoader, batch_count
from snowcover.data.transforms import augmentation
from snowcover.epochs import Epochs, Telling
from snowcover.finite import NotFinite
from snowcover.machine import Device
from snowcover.models.mapper import SnowMapper
from snowcover.nested import flat
from snowcover.parts import check_parts, make_loss
from snowcover.run_folder import folder_lock, move_log
from snowcover.runs import Beginning, CannotResume
from snowcover.stopping import among, stopping_on_signals
from snowcover.task import SnowTask, TestTotals, takes
from snowcover.tracking import Recorder, recorded

log = logging.getLogger(__name__)


def fit(config: Config, folder: Path, overrides: Sequence[str], own_store: bool = False) -> float:
    """Train, choose the best epoch, test it, and record all of it.

    Args:
        folder: where the run keeps its files.
        overrides: what the user changed, as `key=value`; they name the run and tag it.
        own_store: MLflow's store is a job's own: a run that it does not hold goes on there as a new one.

    Returns:
        The best val_iou, between 0 and 1; NaN where no validation pixel could be scored.

    Raises:
        UserError: what was trained until then is in last.ckpt.
        Stopped: Ctrl-C or SIGTERM; the run is marked KILLED and can go on.
        LostProcess: another of the processes that train this run together has ended.
    """
    machine.settle()
    machine.forget_peak_memory()
    with stopping_on_signals():
        device = machine.device(config.hw)
        lightning.seed_everything(config.seed)
        start = runs.beginning(config, folder)
        first = machine.rank() == 0  # which alone writes
        with folder_lock(start.checkpoint_dir) if first else contextlib.nullcontext():
            if start.folder.resolve() != folder.resolve():
                move_log(folder, start.folder)
            if not _training_left(config, start) and (done := ending.finished(start)) is not None:
                return done
            if first:
                runs.fetch_best(start)
            return _run(config, start, overrides, device, own_store)


def _run(config: Config, start: Beginning, overrides: Sequence[str], device: Device, own_store: bool) -> float:
    """The story itself: what there is of it yet to come."""
    net, loss, weights_about = _parts(config, start)
    result = None if _training_left(config, start) else ending.kept_outcome(start)
    with ending.safe_without_mlflow(start) as kept, _recorder(config, start, overrides, own_store) as recorder:
        if recorder is not None:
            disk.check_room(net, config.optimizer, start.checkpoint_dir, recorder.local_artifacts())
        tiles = gather(config)
        tile_bytes = network.tile_memory_bytes(net, tiles.survey.input_shape)
        network.check_memory(tile_bytes, config.trainer.batch_size, device.memory_bytes)
        task = _task(config, start, tiles, net, loss, weights_about, device)
        if recorder is not None:
            _announce(config, start, overrides, tiles, task, device, recorder)
        if result is None:
            totals = _trained_and_tested(config, start, tiles, task, device, recorder)
            result = ending.keep_outcome(config, start, tiles, task, totals) if recorder is not None else None
        else:
            ending.load_best(task, start)
        if recorder is not None and result is not None:
            kept.set()
            ending.record_outcome(config, start, result, tiles, task, recorder)
    if recorder is not None and result is not None:
        ending.finish(config, start, result, recorder.experiment_id)
    return ending.objective(task)


def _training_left(config: Config, start: Beginning) -> bool:
    return start.about is None or runs.training_left(config.trainer, start.about["history"])


def _parts(config: Config, start: Beginning) -> tuple[nn.Module, nn.Module, Mapping[str, Any] | None]:
    """Network and loss, made before any tile is read so that a wrong name or checkpoint costs nothing.

    Returns:
        Beside them, what a checkpoint of ours whose weights are begun with says of its run.
    """
    check_parts(config)
    uri = None if start.resumed_from else config.checkpoint.init_from
    data = config.data
    layers = len(all_channels(data.layers))
    net = network.build(config.model, data.bands, pretrained=not (start.resumed_from or uri), layers=layers)
    about = None
    if uri is not None:
        checkpoint = checkpoints.load(uri)
        about = checkpoint.get("snowcover")
        if about is not None and about["bands"] != config.data.bands:
            raise checkpoints.BadCheckpoint(
                f"{uri} was trained on bands {', '.join(about['bands'])}: give data.bands=[{','.join(about['bands'])}]."
            )
        if about is not None:
            _refuse_other_layers(config, about, uri)
        checkpoints.load_network(net, checkpoint, uri)
    return net, make_loss(config.loss), about


def _refuse_other_layers(config: Config, about: Mapping[str, Any], uri: str) -> None:
    own, its = (list(names) for names in (all_channels(config.data.layers), layer_facts.of_checkpoint(about).channels))
    if own != its:
        told = f"the layers {', '.join(its)}" if its else "no layers"
        raise checkpoints.BadCheckpoint(
            f"{uri} was trained on {told}, and data.layers give {', '.join(own) or 'none'}: give the same ones."
        )


def _recorder(
    config: Config, start: Beginning, overrides: Sequence[str], own_store: bool
) -> AbstractContextManager[Recorder | None]:
    if machine.rank() > 0:
        return contextlib.nullcontext()
    name, tracking = report.run_name(config, overrides), config.tracking
    return recorded(
        tracking.uri, config.experiment_name, name, tracking.system_metrics, start.run_id, tracking.tags, own_store
    )


def _task(
    config: Config, start: Beginning, tiles: Tiles, net: nn.Module, loss: nn.Module,
    weights_about: Mapping[str, Any] | None, device: Device,
) -> SnowTask:  # fmt: skip
    mean, std = _normalisation(config, start, tiles, weights_about)
    layers = _layer_numbers(start, tiles, weights_about)
    steps_per_epoch = _steps_per_epoch(len(tiles.of("train")), device.processes, config.trainer)
    baselines = fit_baselines(config, tiles.survey, start.about or {})
    task = SnowTask(
        SnowMapper(
            net,
            config.data.scale,
            config.data.offset,
            [*mean, *layers.mean],
            [*std, *layers.std],
            layers=len(layers.channels),
        ),
        loss,
        maker(config.optimizer),
        maker(config.scheduler) if config.scheduler else None,
        augmentation(config.data.augment, len(layers.channels)),
        config.seed,
        steps_per_epoch=steps_per_epoch,
        forest=forest_mapper(config, baselines, start.resumed_from or "This run"),
    )
    task.about.update(baselines)
    task.about.update(zoom=tiles.manifest.zoom, tile_size=tiles.survey.shape[1], commit=_commit())
    digest = tiles.digest
    if start.about is not None:
        if start.about["manifest_digest"] != digest:
            raise CannotResume(
                f"The tiles are not those that {start.resumed_from} was trained on: give its manifest with "
                f"data.manifest={start.folder / 'manifest.csv'}, or start a new run with checkpoint.init_from."
            )
        _refuse_other_steps(config, start, steps_per_epoch)
        task.about.update(start.about)
        return task
    task.about.update(
        version=__version__, config=runs.public(config), bands=list(config.data.bands), scale=config.data.scale,
        offset=config.data.offset, mean=mean, std=std, manifest_digest=digest, history=[], steps=[], run_id=None,
        steps_per_epoch=steps_per_epoch, **layers.as_told(),
    )  # fmt: skip
    return task


def _commit() -> str | None:
    found = checkout.commit()
    return None if found is None else found.sha + ("-dirty" if found.dirty else "")


def _refuse_other_steps(config: Config, start: Beginning, steps_per_epoch: int) -> None:
    """A schedule that moves with each step was laid out for as many steps as an epoch had."""
    assert start.about is not None
    before = start.about["steps_per_epoch"]
    per_step = config.scheduler and takes(maker(config.scheduler), "steps_per_epoch")
    if per_step and _training_left(config, start) and before != steps_per_epoch:
        raise CannotResume(
            f"{start.resumed_from} comes from epochs of {before} steps, and here they have {steps_per_epoch}, which "
            "its learning rate's schedule cannot follow: go on with as many hw.devices as before."
        )


def _steps_per_epoch(tiles: int, processes: int, trainer: TrainerConfig) -> int:
    batches = batch_count(math.ceil(tiles / processes), trainer.batch_size)
    return math.ceil(batches / trainer.accumulate_batches)


def _normalisation(
    config: Config, start: Beginning, tiles: Tiles, weights_about: Mapping[str, Any] | None
) -> tuple[list[float], list[float]]:
    """Mean and std of each band's reflectance; weights keep the ones that they were trained with."""
    data = config.data
    if start.about is not None:
        mean, std = start.about["mean"], start.about["std"]
    elif data.mean is not None and data.std is not None:
        mean, std = data.mean, data.std
    elif weights_about is not None:
        mean, std = weights_about["mean"], weights_about["std"]
    else:
        mean, std = tiles.survey.mean, tiles.survey.std
    if not all(map(math.isfinite, [*mean, *std])):
        raise NotFinite(
            f"The bands' mean {mean} and standard deviation {std} are not all finite numbers: look for tiles with "
            "values that are none, or give data.mean and data.std."
        )
    return mean, std


def _layer_numbers(start: Beginning, tiles: Tiles, weights_about: Mapping[str, Any] | None) -> LayerNumbers:
    """Mean and std of each layer, from where those of the bands are, but that no key of the config gives them."""
    about = start.about or weights_about
    if about is not None:
        return layer_facts.of_checkpoint(about)
    found = tiles.survey.layers
    return LayerNumbers() if found is None else LayerNumbers(found.channels, tuple(found.mean), tuple(found.std))


def _announce(
    config: Config, start: Beginning, overrides: Sequence[str], tiles: Tiles, task: SnowTask, device: Device,
    recorder: Recorder,
) -> None:  # fmt: skip
    """Say and record what will run."""
    name = report.run_name(config, overrides)
    log.info(report.plan(config, tiles, task.mapper, device, name))
    for note in tiles.notes:
        log.warning(note)
    task.about["run_id"] = recorder.run_id
    runs.write_record(start, config, recorder.run_id)
    if _training_left(config, start):
        (start.folder / ending.RESULT).unlink(missing_ok=True)  # of when it was shorter
    recorder.tags(report.tags(overrides, device) | report.grid_tags(tiles))
    if start.resumed_from:
        log.info("Going on from %s after %d epochs.", start.resumed_from, len(task.about["history"]))
        recorder.tags({"resumed_from": start.resumed_from})
    inputs = _write_inputs(config, start, tiles, task.about)  # also for a run that goes on: its folder may be a new one
    if recorder.run_id == start.run_id:
        return  # MLflow has them
    params = {key: value for key, value in flat(runs.public(config)) if not key.startswith("tracking.tags")}
    recorder.params(params)
    collects = sorted({pair.collect for pair in tiles.manifest.pairs})
    recorder.dataset(", ".join(collects), tiles.digest)
    for path in inputs:
        recorder.artifact(path, "pictures" if path.suffix == ".png" else None)


def _write_inputs(config: Config, start: Beginning, tiles: Tiles, about: Mapping[str, Any]) -> list[Path]:
    """Files that say what the run was made from; the folder of a run that goes on may have them already."""
    texts = {
        "config.yaml": yaml.safe_dump(runs.public(config), sort_keys=False),
        "manifest.csv": tiles.manifest.to_csv(),
        "split.csv": tiles.split_csv(),
    }
    contents = {name: text.encode() for name, text in texts.items()} | {kept.FILE: kept.as_npz(about)}
    paths = [start.folder / name for name in (*contents, "split.png")]
    for path in paths:
        if start.resumed_from and path.is_file() and path.name != kept.FILE:  # which may have got a forest
            continue
        if path.name in contents:
            storage.write(str(path), contents[path.name])
        else:
            report.draw_split(start.folder, tiles)
    return paths


def _trained_and_tested(
    config: Config, start: Beginning, tiles: Tiles, task: SnowTask, device: Device, recorder: Recorder | None
) -> TestTotals:
    trainer = _trainer(config, start, device, len(tiles.of("train")), recorder)
    with among(device.processes):
        if _training_left(config, start):
            _train(trainer, task, tiles, config, start)
        trainer.strategy.barrier()  # the first process has only just named the best one
        if trainer.is_global_zero:  # which alone has that file on several machines, and shares its weights
            ending.load_best(task, start)
        return ending.test(trainer, task, _Batches(tiles, config))


def _trainer(
    config: Config, start: Beginning, device: Device, train_tiles: int, recorder: Recorder | None
) -> lightning.Trainer:
    terminal = recorder is not None and sys.stderr.isatty()
    epochs = Epochs(
        start.checkpoint_dir,
        Telling(recorder, resumed=start.about is not None) if recorder is not None else None,
        config.trainer.patience_epochs,
        train_tiles,
        show_epochs=recorder is not None and not terminal,
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
        callbacks=[epochs, *([TQDMProgressBar(leave=True)] if terminal else [])],
        plugins=[checkpoints.WholeFileIO()],
        default_root_dir=start.folder,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=terminal,
    )


def _train(trainer: lightning.Trainer, task: SnowTask, tiles: Tiles, config: Config, start: Beginning) -> None:
    data = _Batches(tiles, config)
    if trainer.is_global_zero:  # which alone writes
        runs.keep_last(start, task.about["run_id"])
    try:
        trainer.fit(task, datamodule=data, ckpt_path=start.resumed_from)
    except torch.cuda.OutOfMemoryError as error:
        raise network.DoesNotFit(
            f"A batch of {config.trainer.batch_size} tiles does not fit in the GPU's memory: lower trainer.batch_size "
            "and raise trainer.accumulate_batches as much."
        ) from error
    trainer.callbacks[0].record(task)  # type: ignore[attr-defined]


class _Batches(lightning.LightningDataModule):
    """Loaders for Lightning, which asks for new ones each epoch."""

    def __init__(self, tiles: Tiles, config: Config) -> None:
        super().__init__()
        self._tiles, self._config = tiles, config

    def train_dataloader(self) -> TileLoader:
        assert self.trainer is not None
        return self._loader("train", shuffle_seed=self._config.seed + self.trainer.current_epoch)

    def val_dataloader(self) -> TileLoader:
        return self._loader("val")

    def test_dataloader(self) -> TileLoader:
        return self._loader("test")

    def _loader(self, side: str, shuffle_seed: int | None = None) -> TileLoader:
        trainer = cast(lightning.Trainer, self.trainer)
        return TileLoader(
            self._tiles.of(side),
            self._tiles.read,
            self._config.trainer.batch_size,
            self._config.hw.data_workers,
            shuffle_seed,
            trainer.global_rank,
            trainer.world_size,
            pin=trainer.strategy.root_device.type == "cuda",
        )
