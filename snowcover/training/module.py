"""A network that learns to map snow, as Lightning runs it."""

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from snowcover.checkpoints import METADATA
from snowcover.compat import drop_methods
from snowcover.data.loader import Batch
from snowcover.data.transforms import augmented
from snowcover.finite import flags_of_not_finite
from snowcover.labels import UNOBSERVED
from snowcover.models.mapper import SnowMapper
from snowcover.run_metadata import RunMetadata
from snowcover.scoring.calibration import LEVELS, calibration_error, fitted_temperature, logit_counts
from snowcover.scoring.confusion import Counts, confusion, scores
from snowcover.scoring.objective import OBJECTIVE


class Tally:
    """What one stage of one epoch adds up: confusion counts, and the loss of each tile."""

    def __init__(self, device: torch.device) -> None:
        self._counts = torch.zeros(4, dtype=torch.int64, device=device)  # tp, fp, fn, tn
        self._losses: list[Tensor] = []  # kept on the device: reading one now would make it wait
        self._tiles: list[Tensor] = []

    def add(self, logits: Tensor, mask: Tensor, loss: Tensor) -> None:
        self._counts += confusion(logits.detach().squeeze(1) > 0, mask)
        self._losses.append(loss.detach().float())
        # Batches differ in size, and a tile without observed pixels has no loss: weigh by the tiles that have.
        self._tiles.append((mask != UNOBSERVED).flatten(1).any(1).sum())

    def scores(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Loss and all defined scores; `reduce` sums a tensor over the processes."""
        tiles = torch.stack(self._tiles).float()
        total, count = reduce(torch.stack([(torch.stack(self._losses) * tiles).sum(), tiles.sum()])).tolist()
        loss = {"loss": total / count} if count else {}
        return {**loss, **scores(self.counts(reduce))}

    def counts(self, reduce: Callable[[Tensor], Tensor]) -> Counts:
        return Counts(*reduce(self._counts).tolist())


class BadStep(NamedTuple):
    """A step whose loss was not finite in some process."""

    ago: int
    """steps taken since, itself included"""
    lr: float


class TestTotals(NamedTuple):
    """What the test pass counted, over all processes."""

    counts: Counts
    loss: float
    logits: NDArray[np.int64]
    """[2, calibration.LEVELS] pixels by their logit: no snow, snow"""
    not_finite: int = 0
    """observed pixels of which the network's answer was no number"""
    forest: Counts | None = None
    """what the pixel forest makes of the same tiles"""


class SnowModule(lightning.LightningModule):
    """Network, loss, optimizer and what is counted."""

    def __init__(
        self,
        mapper: SnowMapper,
        loss: nn.Module,
        make_optimizer: Callable[[Any], Optimizer],
        make_scheduler: Callable[..., Any] | None,
        augment: nn.Module | None,
        seed: int,
        metadata: RunMetadata,
        forest: SnowMapper | None = None,
    ) -> None:
        """`forest` is scored on the tiles that the network is scored on: once on val, and on test."""
        super().__init__()
        self.mapper = mapper
        self.loss = loss
        self.metadata = metadata
        """what its checkpoints say of the run"""
        self._make_optimizer = make_optimizer
        self._make_scheduler = make_scheduler
        self._augment = augment
        self._seed = seed
        self._steps: list[tuple[Tensor, float]] = []  # loss and learning rate of each step of this epoch
        self._checked = 0  # how many of them are known to be finite
        # In a tuple Lightning does not see it, so its arrays are no weights of the task.
        self._forest = () if forest is None else (forest,)
        self._counted: tuple[SnowMapper, ...] = ()  # it, while it is counted

    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(self.parameters())
        if self._make_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self._scheduling(optimizer)}

    def _scheduling(self, optimizer: Optimizer) -> dict[str, Any]:
        assert self._make_scheduler is not None
        if takes(self._make_scheduler, "steps_per_epoch"):  # made for one step a batch: OneCycleLR
            scheduler = self._make_scheduler(optimizer, steps_per_epoch=self.metadata.steps_per_epoch)
            return {"scheduler": scheduler, "interval": "step"}
        scheduler = self._make_scheduler(optimizer)
        return {"scheduler": scheduler, "interval": "epoch", "monitor": OBJECTIVE, "strict": False}

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def step_plateau(self) -> None:
        """Lightning would do this after the checkpoint of the epoch is saved, and a resumed run would miss it."""
        iou = self.val_scores().get("iou")
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau) and iou is not None:
            scheduler.step(iou)

    def take_steps(self) -> list[dict[str, float]]:
        """Loss and learning rate of the steps since the last call."""
        steps, self._steps, self._checked = self._steps, [], 0
        return [{"loss": float(loss), "lr": lr} for loss, lr in steps]

    def first_not_finite_step(self) -> BadStep | None:
        """The first step since the last call whose loss was not finite; the processes ask together."""
        steps, self._checked = self._steps[self._checked :], len(self._steps)
        if not steps:
            return None
        flags = self._sum(flags_of_not_finite([loss for loss, _ in steps])).tolist()
        first = next((index for index, flag in enumerate(flags) if flag), None)
        return None if first is None else BadStep(len(steps) - first, steps[first][1])

    def in_any_process(self, found: bool) -> bool:
        """Whether something was found in one of the processes; they ask together."""
        return bool(self._sum(torch.tensor([float(found)], device=self.device)).item())

    def on_train_epoch_start(self) -> None:
        # Everything random in an epoch follows from the seed and its number, so that an epoch started again after a
        # stop is the same epoch.
        torch.manual_seed((self._seed * 1_000_003 + self.current_epoch * 1009 + self.global_rank) % 2**63)
        self._steps, self._checked = [], 0
        self._tally = Tally(self.device)

    def on_validation_epoch_start(self) -> None:
        self._val_tally = Tally(self.device)
        self._begin_logits()
        self._begin_forest(wanted=self.metadata.forest_val is None)

    def on_test_epoch_start(self) -> None:
        self._val_tally = Tally(self.device)
        self._begin_logits()
        self._begin_forest(wanted=True)
        self._not_finite = torch.zeros(1, dtype=torch.int64, device=self.device)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        image, mask = augmented(batch, self._augment)
        logits = self.mapper.logits(image)
        loss = cast(Tensor, self.loss(logits, mask))
        self._tally.add(logits, mask, loss)
        self._steps.append((loss.detach(), self.learning_rate))
        self.log("loss", loss.detach(), prog_bar=True, logger=False, batch_size=len(mask))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        logits = self.mapper.logits(batch.image)
        self._val_tally.add(logits, batch.mask, self.loss(logits, batch.mask))
        self._logits += logit_counts(logits, batch.mask)
        self._count_forest(batch)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        logits = self.mapper.logits(batch.image)
        self._val_tally.add(logits, batch.mask, self.loss(logits, batch.mask))
        self._logits += logit_counts(logits, batch.mask)
        self._count_forest(batch)
        self._not_finite += (logits.isnan().squeeze(1) & (batch.mask != UNOBSERVED)).sum()

    def on_validation_epoch_end(self) -> None:
        if (iou := self.val_scores().get("iou")) is not None:
            self.log(OBJECTIVE, iou, prog_bar=True, logger=False)
        if self._counted:
            self.metadata.forest_val = self._sum(self._forest_counts).tolist()

    def _begin_logits(self) -> None:
        self._logits = torch.zeros(2, LEVELS, dtype=torch.int64, device=self.device)

    def _summed_logits(self) -> NDArray[np.int64]:
        return self._sum(self._logits).cpu().numpy()

    def _begin_forest(self, wanted: bool) -> None:
        self._counted = tuple(mapper.to(self.device) for mapper in self._forest) if wanted else ()
        self._forest_counts = torch.zeros(4, dtype=torch.int64, device=self.device)  # tp, fp, fn, tn

    def _count_forest(self, batch: Batch) -> None:
        for mapper in self._counted:
            self._forest_counts += confusion(
                mapper.logits(batch.image[:, : mapper.channels]).squeeze(1) > 0, batch.mask
            )

    def train_scores(self) -> dict[str, float]:
        return self._tally.scores(self._sum)

    def val_scores(self) -> dict[str, float]:
        """Of the validation or test pass that ended last."""
        return self._val_tally.scores(self._sum)

    def val_temperature(self) -> dict[str, float]:
        """What calibrates the network of the validation pass that ended last, and how far off it then is there."""
        counts = self._summed_logits()
        if (temperature := fitted_temperature(counts)) is None:
            return {}
        return {"temperature": temperature, "ece": calibration_error(counts, temperature) or 0.0}

    def test_totals(self) -> TestTotals:
        loss = self.val_scores().get("loss", math.nan)
        not_finite = int(self._sum(self._not_finite))
        forest = Counts(*self._sum(self._forest_counts).tolist()) if self._counted else None
        return TestTotals(self._val_tally.counts(self._sum), loss, self._summed_logits(), not_finite, forest)

    @property
    def learning_rate(self) -> float:
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        drop_methods(checkpoint)
        checkpoint[METADATA] = self.metadata.to_dict()

    def _sum(self, tensor: Tensor) -> Tensor:
        return cast(Tensor, self.trainer.strategy.reduce(tensor.clone(), reduce_op="sum"))


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a (partial) function or class has a parameter of that name."""
    return name in inspect.signature(function).parameters
