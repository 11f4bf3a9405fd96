"""What the steps of one run's story share."""

from collections.abc import Sequence
from dataclasses import dataclass

from snowcover.config import Config
from snowcover.data.dataset import TileDataset
from snowcover.machine import Device
from snowcover.run_metadata import RunMetadata
from snowcover.training.module import SnowModule
from snowcover.training.resume import ResumePoint
from snowcover.training.summary import run_name


@dataclass(frozen=True)
class TrainingRun:
    """One run, ready to train."""

    config: Config
    start: ResumePoint
    overrides: Sequence[str]
    """what the user changed, as `key=value`"""
    device: Device
    dataset: TileDataset
    module: SnowModule

    @property
    def metadata(self) -> RunMetadata:
        """What its checkpoints say of it."""
        return self.module.metadata

    @property
    def name(self) -> str:
        return run_name(self.config, self.overrides)
