"""Batches of a run's tiles, as Lightning asks for them."""

from typing import cast

import lightning

from snowcover.config import Config
from snowcover.data.dataset import TileDataset
from snowcover.data.loader import TileLoader


class Batches(lightning.LightningDataModule):
    """Loaders of each split; Lightning asks for new ones each epoch."""

    def __init__(self, dataset: TileDataset, config: Config) -> None:
        super().__init__()
        self._dataset, self._config = dataset, config

    def train_dataloader(self) -> TileLoader:
        """Shuffled by the seed and the epoch."""
        assert self.trainer is not None
        return self._loader("train", shuffle_seed=self._config.seed + self.trainer.current_epoch)

    def val_dataloader(self) -> TileLoader:
        """In the manifest's order."""
        return self._loader("val")

    def test_dataloader(self) -> TileLoader:
        """In the manifest's order."""
        return self._loader("test")

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
