"""The keys of conf/evaluate.yaml: their types, ranges and meaning."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from snowcover.config import TrackingConfig
from snowcover.paths import Place
from snowcover.validation import Section

Depth = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]*$", max_length=40)]
Files = Place | Annotated[list[Place], Field(min_length=1)]


class Config(Section):
    """One evaluation: maps against a reference, or saved runs on their own tiles."""

    maps: Files | Annotated[dict[Name, Files], Field(min_length=1)] | None
    """snow maps to evaluate: a path or s3:// pattern, a list of them (a product each), or {name: pattern}"""
    reference: Place | None
    """a GeoTIFF of snow depth, or a mask of 0 and 1, on disk or in S3"""
    reference_kind: Literal["auto", "depth", "mask"]
    """what the reference holds; auto decides by its values"""
    depth_threshold_m: Depth | Annotated[list[Depth], Field(min_length=1)]
    """least snow depth in metres that counts as snow; of a list, the first is used for all scores, and the others show
    how much the scores depend on it"""
    depth_lowest_m: float
    """depths below this are measurement errors, hence unobserved"""
    depth_highest_m: float
    """depths above this are measurement errors, hence unobserved"""
    depth_unit: Literal["m", "cm", "mm", "ft"] | None
    """unit of the reference's depths; by default the file's own, else metres"""
    nodata: Annotated[float, Field(allow_inf_nan=True)] | None
    """value of the reference's unobserved pixels besides its own nodata value"""
    crs: str | None
    """coordinate reference system of files that have none, or a wrong one, for example EPSG:32612"""
    run: str | None
    """a training run to evaluate on its own tiles, without maps: its folder, its MLflow run id, or models:/NAME/1"""
    split: Literal["val", "test"]
    """the split of the run's tiles that is evaluated"""
    compare: Annotated[list[str], Field(min_length=2)] | None
    """runs to compare on the same tiles, the first with each of the others"""
    canopy_height: Place | None
    """a raster of canopy height in metres, for scores by canopy height and by distance to the canopy's edge"""
    elevation: Place | None
    """a raster of elevation in metres, for scores by elevation, slope, aspect and illumination, and the snow line"""
    exclude: list[Place]
    """areas that do not count: polygons (.geojson), or rasters that are not 0 there"""
    acquired: str | None
    """acquisition time of the scene, for example 2018-05-28T18:11:10Z; by default from the maps' names"""
    block_m: Annotated[float, Field(gt=0)]
    """side in metres of the blocks of ground that are resampled for the intervals"""
    draws: Annotated[int, Field(ge=100, le=100_000)]
    """number of bootstrap draws for the intervals"""
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    """seed of these draws"""
    ground: Literal["unseen", "all"]
    """unseen leaves out the ground that the products' networks were trained on; all includes it"""
    out: Place
    """folder or s3:// prefix for the report, its figures and evaluation.csv"""
    overwrite: bool
    """replace a report in out; else it is refused"""
    experiment_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)] | None
    """MLflow experiment for an evaluation without a training run"""
    tracking: TrackingConfig

    @field_validator("acquired")
    @classmethod
    def _a_time(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                datetime.fromisoformat(value)
            except ValueError as error:
                raise ValueError(
                    f"{value} is not an ISO 8601 time: give it in UTC, for example 2018-05-28T18:11:10Z"
                ) from error
        return value

    @model_validator(mode="after")
    def _one_thing_to_evaluate(self) -> "Config":
        given = [key for key in ("maps", "run", "compare") if getattr(self, key) is not None]
        if len(given) != 1:
            found = f"{' and '.join(given)} are given" if given else "none of them is given"
            raise ValueError(f"give maps=FILES with reference=FILE, or run=RUN, or compare=[RUN,RUN]: {found}")
        if self.maps is not None and self.reference is None:
            raise ValueError("maps need a reference to be scored against: give reference=FILE of snow depth or a mask")
        keys_of_maps = [
            key for key in ("reference", "canopy_height", "elevation", "exclude", "acquired") if getattr(self, key)
        ]
        if self.maps is None and keys_of_maps:
            key = keys_of_maps[0]
            raise ValueError(
                f"{key}={getattr(self, key)} is for maps: a run is scored on its own tiles, against their masks"
            )
        return self

    @model_validator(mode="after")
    def _depths_in_order(self) -> "Config":
        for threshold_m in self.thresholds_m:
            if not self.depth_lowest_m <= threshold_m <= self.depth_highest_m:
                raise ValueError(
                    f"depth_threshold_m={threshold_m:g} must lie between depth_lowest_m={self.depth_lowest_m:g} and "
                    f"depth_highest_m={self.depth_highest_m:g}"
                )
        if len(set(self.thresholds_m)) < len(self.thresholds_m):
            raise ValueError("depth_threshold_m names a depth twice: name each once")
        return self

    @property
    def thresholds_m(self) -> tuple[float, ...]:
        """The first one is used for all scores."""
        given = self.depth_threshold_m
        return tuple(given) if isinstance(given, list) else (given,)
