"""A trained network with all that mapping needs to know of it: the one loader, whatever the address."""

from dataclasses import dataclass

from snowcover.models.mapper import SnowMapper

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class ModelOverrides:
    """What a user says of a model by name: it goes before what the model says of itself. None: not said."""

    bands: tuple[str, ...] | None = None
    scale: float | None = None
    offset: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    zoom: int | None = None
    tile_size: int | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class TrainedModel:
    """A network that was trained, and the grid and numbers that it was trained on."""

    mapper: SnowMapper
    """in evaluation mode, on the CPU"""
    bands: tuple[str, ...]
    """names, in the order of the network's channels"""
    scale: float
    offset: float
    """reflectance = stored number * scale + offset"""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """of each band's reflectance"""
    zoom: int
    tile_size: int
    """of the tiles that it was trained on, in pixels"""
    threshold: float
    """snow from this probability on"""
    nodata: float
    """value of unobserved pixels in rasters that say nothing of them"""
    run_id: str | None
    experiment: str | None
    checkpoint_uri: str
    checkpoint_sha256: str
    commit: str | None
    config_digest: str | None
    """None of a checkpoint that is not ours"""


def load_trained_model(address: str, overrides: ModelOverrides, tracking_uri: str | None = None) -> TrainedModel:
    """The network at an address: a run's folder, a .ckpt (path or s3://), an MLflow run id, or models:/...

    Args:
        tracking_uri: of the MLflow store in which run ids and models:/ addresses are looked up.

    Raises:
        UserError
    """
    raise NotImplementedError
