"""The story of one run, from a checked config to its result."""

import contextlib
import json
import logging
import math
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import lightning
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import nn

from snowcover import __version__, checkpoints, machine, network, report, runs, storage
from snowcover.addresses import without_password
from snowcover.baseline import baseline
from snowcover.checking import flat
from snowcover.components import maker
from snowcover.config import Config, TrainerConfig
from snowcover.data.gather import Tiles, gather
from snowcover.data.loader import TileLoader, batch_count
from snowcover.data.transforms import augmentation
from snowcover.epochs import Epochs, Telling
from snowcover.errors import first_line
from snowcover.machine import Device
from snowcover.metrics import best_epoch, scores
from snowcover.models.mapper import SnowMapper
from snowcover.parts import check_parts, make_loss
from snowcover.runs import Beginning, CannotResume
from snowcover.stopping import among, stopping_on_signals
from snowcover.task import SnowTask, TestTotals
from snowcover.tracking import Recorder, recorded
from snowcover.versions import check_export

log = logging.getLogger(__name__)

RESULT = "result.json"
EXAMPLE_PX = 260  # largest side of the MLflow model's input example, which is stored as text


def fit(config: Config, folder: Path, overrides: Sequence[str]) -> float:
    """Train, choose the best epoch, test it, and record all of it.

    Args:
        folder: where the run keeps its files.
        overrides: what the user changed, as `key=value`; they name the run and tag it.

    Returns:
        The best val_iou, between 0 and 1; NaN where no validation pixel could be scored.

    Raises:
        UserError: what was trained until then is in last.ckpt.
        Stopped: Ctrl-C or SIGTERM; the run is marked KILLED and can go on.
        LostProcess: another of the processes that train this run together has ended.
    """
    machine.settle()
    with stopping_on_signals():
        device = machine.device(config.hw)
        lightning.seed_everything(config.seed)
        start = runs.beginning(config, folder)
        net, loss = _parts(config, start)
        if (done := _finished(start, config)) is not None:
            return done
        with _recorder(config, start, overrides) as recorder:
            tiles = gather(config)
            tile_bytes = network.tile_memory_bytes(net, tiles.survey.shape)
            network.check_memory(tile_bytes, config.trainer.batch_size, device.memory_bytes)
            task = _task(config, start, tiles, net, loss, device)
            if recorder is not None:
                _announce(config, start, overrides, tiles, task, device, recorder)
            trainer = _trainer(config, start, device, len(tiles.of("train")), recorder)
            with among(device.processes):
                _train(trainer, task, tiles, config, start)
                totals = _test(trainer, task, tiles, config, start)
            if recorder is not None:
                _conclude(config, start, tiles, task, totals, recorder)
    return _objective(task)


def _parts(config: Config, start: Beginning) -> tuple[nn.Module, nn.Module]:
    """Network and loss, made before any tile is read so that a wrong name costs nothing."""
    check_parts(config)
    weights_follow = bool(start.resumed_from or config.checkpoint.init_from)
    net = network.build(config.model, config.data.bands, pretrained=not weights_follow)
    return net, make_loss(config.loss)


def _recorder(config: Config, start: Beginning, overrides: Sequence[str]) -> AbstractContextManager[Recorder | None]:
    if machine.rank() > 0:
        return contextlib.nullcontext()
    name, tracking = report.run_name(config, overrides), config.tracking
    return recorded(
        tracking.uri, config.experiment_name, name, tracking.system_metrics, start.run_id, tags=tracking.tags
    )


def _task(config: Config, start: Beginning, tiles: Tiles, net: nn.Module, loss: nn.Module, device: Device) -> SnowTask:
    mean, std = _normalisation(config, start, tiles, net)
    task = SnowTask(
        SnowMapper(net, config.data.scale, config.data.offset, mean, std),
        loss,
        maker(config.optimizer),
        maker(config.scheduler) if config.scheduler else None,
        augmentation(config.data.augment),
        config.seed,
        steps_per_epoch=_steps_per_epoch(len(tiles.of("train")), device.processes, config.trainer),
    )
    digest = tiles.manifest.digest
    if start.about is not None:
        if start.about["manifest_digest"] != digest:
            raise CannotResume(
                f"The tiles are not those that {start.resumed_from} was trained on: give its manifest with "
                f"data.manifest={start.folder / 'manifest.csv'}, or start a new run with checkpoint.init_from."
            )
        task.about.update(start.about)
        return task
    task.about.update(
        version=__version__, config=runs.public(config), bands=list(config.data.bands), scale=config.data.scale,
        offset=config.data.offset, mean=mean, std=std, manifest_digest=digest, history=[], steps=[], run_id=None,
    )  # fmt: skip
    return task


def _steps_per_epoch(tiles: int, processes: int, trainer: TrainerConfig) -> int:
    batches = batch_count(math.ceil(tiles / processes), trainer.batch_size)
    return math.ceil(batches / trainer.accumulate_batches)


def _normalisation(config: Config, start: Beginning, tiles: Tiles, net: nn.Module) -> tuple[list[float], list[float]]:
    """Mean and std of each band's reflectance; weights keep the ones that they were trained with."""
    if start.about is not None:
        return start.about["mean"], start.about["std"]
    about = None
    if uri := config.checkpoint.init_from:
        checkpoint = checkpoints.load(uri)
        about = checkpoint.get("snowcover")
        if about is not None and about["bands"] != config.data.bands:
            raise checkpoints.BadCheckpoint(
                f"{uri} was trained on bands {', '.join(about['bands'])}: give data.bands=[{','.join(about['bands'])}]."
            )
        checkpoints.load_network(net, checkpoint, uri)
    data = config.data
    if data.mean is not None and data.std is not None:
        return data.mean, data.std
    if about is not None:
        return about["mean"], about["std"]
    return tiles.survey.mean, tiles.survey.std


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
    recorder.tags(report.tags(overrides, device))
    if start.resumed_from:
        log.info("Going on from %s after %d epochs.", start.resumed_from, len(task.about["history"]))
        recorder.tags({"resumed_from": start.resumed_from})
        _write_inputs(config, start, tiles)  # where the folder is a new one; MLflow has them
        return
    params = {key: value for key, value in flat(runs.public(config)) if not key.startswith("tracking.tags")}
    recorder.params(params)
    collects = sorted({pair.collect for pair in tiles.manifest.pairs})
    recorder.dataset(", ".join(collects), tiles.manifest.digest)
    for path in _write_inputs(config, start, tiles):
        recorder.artifact(path, "pictures" if path.suffix == ".png" else None)


def _write_inputs(config: Config, start: Beginning, tiles: Tiles) -> list[Path]:
    """Files that say what the run was made from; the folder of a run that goes on may have them already."""
    texts = {
        "config.yaml": yaml.safe_dump(runs.public(config), sort_keys=False),
        "manifest.csv": tiles.manifest.to_csv(),
        "split.csv": tiles.split_csv(),
    }
    paths = [start.folder / name for name in (*texts, "split.png")]
    for path in paths:
        if start.resumed_from and path.is_file():
            continue
        if path.name in texts:
            storage.write(str(path), texts[path.name].encode())
        else:
            report.draw_split(start.folder, tiles)
    return paths


def _trainer(
    config: Config, start: Beginning, device: Device, train_tiles: int, recorder: Recorder | None
) -> lightning.Trainer:
    terminal = recorder is not None and sys.stderr.isatty()
    epochs = Epochs(
        start.checkpoint_dir,
        _telling(start, recorder) if recorder is not None else None,
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


def _telling(start: Beginning, recorder: Recorder) -> Telling:
    return Telling(recorder, resumed=start.about is not None)


def _train(trainer: lightning.Trainer, task: SnowTask, tiles: Tiles, config: Config, start: Beginning) -> None:
    data = _Batches(tiles, config)
    try:
        trainer.fit(task, datamodule=data, ckpt_path=start.resumed_from)
    except torch.cuda.OutOfMemoryError as error:
        raise network.DoesNotFit(
            f"A batch of {config.trainer.batch_size} tiles does not fit in the GPU's memory: lower trainer.batch_size "
            "and raise trainer.accumulate_batches as much."
        ) from error
    trainer.callbacks[0].record(task)  # type: ignore[attr-defined]


def _test(trainer: lightning.Trainer, task: SnowTask, tiles: Tiles, config: Config, start: Beginning) -> TestTotals:
    trainer.strategy.barrier()  # the first process has only just named the best one
    if trainer.is_global_zero:  # which alone has that file, where there are several machines, and shares its weights
        best = str(start.checkpoint_dir / checkpoints.BEST)
        checkpoints.load_network(task.mapper.network, checkpoints.load(best), best)
    trainer.test(task, datamodule=_Batches(tiles, config), verbose=False)
    return task.test_totals()


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


def _conclude(
    config: Config, start: Beginning, tiles: Tiles, task: SnowTask, totals: TestTotals, recorder: Recorder
) -> None:
    """Say and record what came of it."""
    history = task.about["history"]
    best = best_epoch(history) or 0
    test = {"loss": totals.loss, **scores(totals.counts)}
    plain = baseline(tiles.survey.sides["train"].brightness, tiles.survey.sides["test"].brightness)
    brightness = {f"brightness_{name}": value for name, value in scores(plain.counts).items()}
    _telling(start, recorder)([(best, {f"test_{name}": value for name, value in (test | brightness).items()})])
    mapper = task.mapper.cpu().eval()
    report.draw_outcome(start.folder, history, totals, tiles, mapper, config.data.bands)
    for picture in sorted(start.folder.glob("*.png")):
        recorder.artifact(picture, "pictures")
    for name in (checkpoints.BEST, checkpoints.LAST):
        recorder.artifact(start.checkpoint_dir / name, "checkpoints")
    _record_model(mapper, tiles, recorder)
    checkpoint = start.checkpoint_dir / checkpoints.BEST
    result = {
        "objective": _objective(task), "best_epoch": best, "test": test | brightness, "run_id": recorder.run_id,
        "checkpoint": str(checkpoint), "max_epochs": config.trainer.max_epochs,
    }  # fmt: skip
    storage.write(str(start.folder / RESULT), json.dumps(result, indent=2).encode())
    recorder.artifact(start.folder / RESULT)
    log.info(report.outcome(test | brightness, best, without_password(config.tracking.uri), start.folder, checkpoint))


def _record_model(mapper: SnowMapper, tiles: Tiles, recorder: Recorder) -> None:
    try:
        check_export()
        recorder.model(mapper, _example(tiles))
    except Exception as error:  # some encoder of hundreds may not export: no reason to lose a trained run
        reason = first_line(error)
        log.warning("This network could not be kept as an MLflow model (%s); its checkpoint has all of it.", reason)
        recorder.tags({"model_not_exported": reason})


def _example(tiles: Tiles) -> np.ndarray[Any, Any]:
    """Two raw tiles [2, C, h, w], cut small.

    Exporting takes what is special about an example for the rule: one tile, or a size that needs no padding.
    """
    pairs = (tiles.of("test") * 2)[:2]
    side = min(EXAMPLE_PX, *(size - 4 for size in tiles.survey.shape[1:]))
    return np.stack([tiles.read(pair).image[:, :side, :side] for pair in pairs])


def _objective(task: SnowTask) -> float:
    history = task.about["history"]
    best = best_epoch(history)
    return math.nan if best is None else float(history[best]["val_iou"])


def _finished(start: Beginning, config: Config) -> float | None:
    """The objective of a run that has nothing left to do."""
    path = start.folder / RESULT
    if not (start.resumed_from and path.is_file()):
        return None
    result = json.loads(path.read_text())
    if result["max_epochs"] < config.trainer.max_epochs:
        return None
    log.info("Nothing to do: the run in %s is complete.", start.folder)
    return float(result["objective"])
