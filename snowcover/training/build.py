"""The network and loss of a run, and the module that trains them on its tiles."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from snowcover import __version__, checkpoints, network, provenance
from snowcover.baselines.fitting import fit_baselines, forest_mapper
from snowcover.component_checks import check_components, make_loss
from snowcover.components import partial
from snowcover.config import Config, TrainerConfig
from snowcover.data.dataset import TileDataset
from snowcover.data.layer_names import all_channels
from snowcover.data.loader import batch_count
from snowcover.data.transforms import augmentation
from snowcover.machine import Device
from snowcover.models.mapper import SnowMapper
from snowcover.run_metadata import RunMetadata
from snowcover.training.module import SnowModule, takes
from snowcover.training.normalisation import band_moments, layer_moments
from snowcover.training.resume import CannotResume, ResumePoint, public


class Learner(NamedTuple):
    """What learns."""

    network: nn.Module
    loss: nn.Module
    weights_metadata: RunMetadata | None
    """of the run whose weights it begins with (checkpoint.init_from), None of any other beginning"""


def build_learner(config: Config, start: ResumePoint) -> Learner:
    """Network and loss, made before any tile is read so that a wrong name or checkpoint costs nothing.

    Raises:
        ConfigError, BadCheckpoint, StorageError
    """
    check_components(config)
    uri = None if start.resumed_from else config.checkpoint.init_from
    layers = len(all_channels(config.data.layers))
    pretrained = not (start.resumed_from or uri)
    net = network.build(config.model, config.data.bands, pretrained, layers)
    metadata = None
    if uri is not None:
        checkpoint = checkpoints.load(uri)
        metadata = RunMetadata.of(checkpoint, uri)
        if metadata is not None:
            _refuse_other_channels(config, metadata, uri)
        checkpoints.load_network(net, checkpoint, uri)
    return Learner(net, make_loss(config.loss), metadata)


def _refuse_other_channels(config: Config, metadata: RunMetadata, uri: str) -> None:
    if metadata.bands != config.data.bands:
        raise checkpoints.BadCheckpoint(
            f"{uri} was trained on bands {', '.join(metadata.bands)}: give data.bands=[{','.join(metadata.bands)}]."
        )
    own, its = list(all_channels(config.data.layers)), list(metadata.layers.channels)
    if own != its:
        trained_on = f"the layers {', '.join(its)}" if its else "no layers"
        raise checkpoints.BadCheckpoint(
            f"{uri} was trained on {trained_on}, and data.layers give {', '.join(own) or 'none'}: give the same ones."
        )


def build_module(
    config: Config, start: ResumePoint, dataset: TileDataset, learner: Learner, device: Device
) -> SnowModule:
    """The module that trains the network on these tiles, with what is known of its run so far.

    Raises:
        CannotResume: the tiles, or an epoch's steps, are not those of the run that is resumed.
        NotFinite: bands without a mean or standard deviation.
    """
    steps_per_epoch = _steps_per_epoch(len(dataset.of("train")), device.processes, config.trainer)
    if start.metadata is not None:
        _refuse_other_tiles(start, start.metadata, dataset.digest)
        _refuse_other_steps(config, start, start.metadata, steps_per_epoch)
        metadata = start.metadata.copy()
    else:
        metadata = _new_metadata(config, dataset, learner.weights_metadata, steps_per_epoch)
    metadata.brightness_threshold, metadata.forest = fit_baselines(config, dataset.statistics, metadata)
    layers = metadata.layers
    if device.prefers_channels_last:
        learner.network.to(memory_format=torch.channels_last)
    mapper = SnowMapper(
        learner.network,
        config.data.scale,
        config.data.offset,
        [*metadata.mean, *layers.mean],
        [*metadata.std, *layers.std],
        layers=len(layers.channels),
    )
    return SnowModule(
        mapper,
        learner.loss,
        partial(config.optimizer),
        partial(config.scheduler) if config.scheduler else None,
        augmentation(config.data.augment, len(layers.channels)),
        config.seed,
        metadata,
        forest_mapper(config, metadata, start.resumed_from or "This run"),
    )


def _new_metadata(
    config: Config, dataset: TileDataset, weights: RunMetadata | None, steps_per_epoch: int
) -> RunMetadata:
    mean, std = band_moments(config.data, dataset.statistics, weights)
    return RunMetadata(
        config=public(config),
        bands=list(config.data.bands),
        scale=config.data.scale,
        offset=config.data.offset,
        mean=mean,
        std=std,
        version=__version__,
        layers=layer_moments(dataset.statistics, weights),
        zoom=dataset.manifest.zoom,
        tile_size=dataset.statistics.shape[1],
        manifest_digest=dataset.digest,
        steps_per_epoch=steps_per_epoch,
        commit=_commit(),
    )


def _commit() -> str | None:
    found = provenance.commit()
    return None if found is None else found.sha + ("-dirty" if found.dirty else "")


def _refuse_other_tiles(start: ResumePoint, metadata: RunMetadata, digest: str) -> None:
    if metadata.manifest_digest != digest:
        raise CannotResume(
            f"The tiles are not those that {start.resumed_from} was trained on: give its manifest with "
            f"data.manifest={start.folder / 'manifest.csv'}, or start a new run with checkpoint.init_from."
        )


def _refuse_other_steps(config: Config, start: ResumePoint, metadata: RunMetadata, steps_per_epoch: int) -> None:
    """A schedule that moves with each step was laid out for as many steps as an epoch had."""
    before = metadata.steps_per_epoch
    if _schedules_steps(config.scheduler) and start.training_left(config.trainer) and before != steps_per_epoch:
        raise CannotResume(
            f"{start.resumed_from} comes from epochs of {before} steps, and here they have {steps_per_epoch}, which "
            "its learning rate's schedule cannot follow: resume with as many hw.devices as before."
        )


def _schedules_steps(scheduler: Mapping[str, Any]) -> bool:
    return bool(scheduler) and takes(partial(scheduler), "steps_per_epoch")


def _steps_per_epoch(tiles: int, processes: int, trainer: TrainerConfig) -> int:
    batches = batch_count(math.ceil(tiles / processes), trainer.batch_size)
    return math.ceil(batches / trainer.accumulate_batches)
