"""Batches of a run's tiles, as Lightning asks for them."""

from typing import cast

import lightning
from lightning.pytorch.utilities import CombinedLoader

from snowcover.config import Config
from snowcover.data.dataset import TileDataset
from snowcover.data.loader import TileLoader


class Batches(lightning.LightningDataModule):
    """Loaders of each split; Lightning asks for new ones each epoch."""

    def __init__(self, dataset: TileDataset, config: Config) -> None:
        super().__init__()
        self._dataset, self._config = dataset, config

    def train_dataloader(self) -> CombinedLoader:
        """Shuffled by the seed and the epoch."""
        assert self.trainer is not None
        return _Loader(self._loader("train", self._config.seed + self.trainer.current_epoch), "max_size_cycle")

    def val_dataloader(self) -> CombinedLoader:
        """In the manifest's order."""
        return _Loader(self._loader("val"), "sequential")

    def test_dataloader(self) -> CombinedLoader:
        """In the manifest's order."""
        return _Loader(self._loader("test"), "sequential")

    def _loader(self, split: str, shuffle_seed: int | None = None) -> TileLoader:
        trainer = cast(lightning.Trainer, self.trainer)
        return TileLoader(
            self._dataset.of(split),
            self._dataset.read,
            self._config.trainer.batch_size,
            self._config.hw.data_workers,
            shuffle_seed,
            trainer.global_rank,
            trainer.world_size,
            pin=trainer.strategy.root_device.type == "cuda",
        )


class _Loader(CombinedLoader):
    """A loader as Lightning wraps it, but one that has a length also where it did not start.

    While it cleans up after an error, Lightning asks for it, and another error would hide the first.
    """

    def __len__(self) -> int:
        try:
            return super().__len__()
        except RuntimeError:
            return 0
