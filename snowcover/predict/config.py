"""The keys of conf/predict.yaml: their types, ranges and meaning."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from snowcover.config import TrackingConfig
from snowcover.data.config import BandName, Layers
from snowcover.paths import Place
from snowcover.prepare.config import ImageryConfig

Share = Annotated[float, Field(gt=0, lt=1)]


class Config(ImageryConfig):
    """One command: any number of scenes mapped by one or several networks."""

    model: Place | Annotated[list[Place], Field(min_length=1)]
    """trained model, or a list of them: a run's folder, an MLflow run id, models:/NAME/VERSION, a .ckpt on disk or in
    S3, or latest, the run below outputs/ that was started last"""
    scenes: Place | Annotated[list[Place], Field(min_length=1)]
    """GeoTIFFs of imagery or folders of z/x/y tiles: a path or s3:// pattern, or a list of them; demo makes a scene"""
    out: Place
    """folder or s3:// prefix in which each map gets a folder of its scene's name"""
    mapped_with: Literal["network", "forest", "brightness"] = Field(alias="with")
    """what predicts: the trained network, or a baseline trained with it, the random forest of single pixels or the
    brightness threshold"""
    tta: Literal["none", "d4"]
    """test-time augmentation: d4 maps each window in its eight flips and rotations and takes the mean"""
    grid: Literal["scene", "training"]
    """grid of the maps: the scene's own, or that of the training tiles, in EPSG:3857"""
    like: Place | None
    """a raster whose grid is used for all maps instead"""
    mosaic: Literal["date"] | None
    """date makes one map of all scenes of a date, on the first scene's grid; overlapping scenes are averaged"""
    threshold: Share | None
    """least probability that counts as snow; by default the model's own threshold"""
    device: Literal["auto", "cpu", "gpu", "mps"]
    """auto uses all GPUs of this machine, else its CPU"""
    dry_run: bool
    """estimate how many windows, how large and how long, and write nothing to out"""
    overwrite: bool
    """replace maps of other models or settings in out; else they are refused"""
    experiment_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] | None
    """MLflow experiment that records these maps; by default the training's"""
    layers: Layers
    """folders of the layers that the network was trained with, for example {elevation: tiles/dem}; by default
    those of the training"""
    network_bands: list[BandName] | None
    """bands of the network in its order, for a checkpoint that does not store them (robosat.pink); by default bands"""
    scale: Annotated[float, Field(gt=0)] | None
    """reflectance = stored number * scale + offset, as in training; by default the checkpoint's"""
    offset: float | None
    """reflectance = stored number * scale + offset, as in training; by default the checkpoint's"""
    mean: list[float] | None
    """mean reflectance of each band in training, for a checkpoint that does not store it"""
    std: list[Annotated[float, Field(gt=0)]] | None
    """standard deviation of each band's reflectance in training, for a checkpoint that does not store it"""
    zoom: Annotated[int, Field(ge=0, le=24)] | None
    """zoom of the tiles that the network was trained on, 0 to 24, for a checkpoint that does not store it"""
    tile_size: Annotated[int, Field(ge=16, le=4096)] | None
    """side of these tiles in pixels, 16 to 4096, for a checkpoint that does not store it"""
    tracking: TrackingConfig

    @model_validator(mode="after")
    def _one_grid(self) -> "Config":
        if self.like is not None and self.grid != "scene":
            raise ValueError(f"like={self.like} and grid={self.grid} are two different grids: leave one of them out")
        return self

    @model_validator(mode="after")
    def _no_flips_of_single_pixels(self) -> "Config":
        if self.tta != "none" and self.mapped_with != "network":
            raise ValueError(
                f"tta={self.tta} and with={self.mapped_with}: this baseline sees single pixels, which flips do not "
                "change: leave tta out"
            )
        return self

    @model_validator(mode="after")
    def _as_many_numbers_as_bands(self) -> "Config":
        counts = {key: len(value) for key in ("network_bands", "mean", "std") if (value := getattr(self, key))}
        if len(set(counts.values())) > 1:
            lengths = ", ".join(f"{key} has {count}" for key, count in counts.items())
            raise ValueError(f"{lengths}: give one for every band of the network")
        return self

    @property
    def models(self) -> list[str]:
        return [self.model] if isinstance(self.model, str) else self.model

    @property
    def patterns(self) -> list[str]:
        return [self.scenes] if isinstance(self.scenes, str) else self.scenes
