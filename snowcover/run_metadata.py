"""What a checkpoint says of its run, next to the weights: a typed record with a version, and all that mapping needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from snowcover.checkpoints import METADATA, BadCheckpoint
from snowcover.data.layer_facts import LayerNumbers

FORMAT = 1  # raised when a checkpoint can no longer be read by an older version
DEFAULT_THRESHOLD = 0.5


@dataclass
class RunMetadata:
    """A run as its checkpoint knows it; the run itself extends `history` and `steps` while it trains."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(arbitrary_types_allowed=True, extra="ignore")

    config: dict[str, Any]
    """as it was composed, without secrets"""
    bands: list[str]
    scale: float
    offset: float
    """reflectance = stored number * scale + offset"""
    mean: list[float]
    std: list[float]
    """of each band's reflectance"""
    version: str = ""
    """of snowcover"""
    format: int = FORMAT
    layers: LayerNumbers = field(default_factory=LayerNumbers)
    zoom: int | None = None
    tile_size: int | None = None
    """of the tiles, in pixels"""
    manifest_digest: str = ""
    steps_per_epoch: int = 0
    commit: str | None = None
    run_id: str | None = None
    """in MLflow"""
    temperature: float = 1.0
    """what the logits are divided by for probabilities that mean what they say"""
    threshold: float = DEFAULT_THRESHOLD
    """snow from this probability on"""
    brightness_threshold: float | None = None
    forest: dict[str, torch.Tensor] | None = None
    """the pixel forest's arrays by name"""
    forest_val: list[int] | None = None
    """the forest's confusion counts on the validation tiles: tp, fp, fn, tn"""
    history: list[dict[str, int | float]] = field(default_factory=list)
    """scores of each epoch"""
    steps: list[tuple[int, float, float]] = field(default_factory=list)
    """number, loss and learning rate of the last training steps"""

    def copy(self) -> "RunMetadata":
        """A record that can be extended while this one stays as it is."""
        return replace(self, history=[*self.history], steps=[*self.steps])

    def to_dict(self) -> dict[str, Any]:
        """Plain values and tensors, which are all that a checkpoint may hold; without what is not known."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["layers"] = self.layers.to_dict() if self.layers.channels else None
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any], uri: str) -> "RunMetadata | None":
        """What a loaded checkpoint says; None of one that is not ours.

        Raises:
            BadCheckpoint: a newer version saved it, or what it says has gaps or other types.
        """
        values = checkpoint.get(METADATA)
        if values is None:
            return None
        saved = values.get("format", FORMAT) if isinstance(values, Mapping) else FORMAT
        if isinstance(saved, int) and saved > FORMAT:
            raise BadCheckpoint(f"{uri} was saved by a newer snowcover (format {saved}): update this one.")
        try:
            return _ADAPTER.validate_python(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "all of it"
            raise BadCheckpoint(
                f"{uri} cannot be read as one of our checkpoints ({where}: {first['msg'].lower()}): give another of "
                "the run."
            ) from error


_ADAPTER = TypeAdapter(RunMetadata)
