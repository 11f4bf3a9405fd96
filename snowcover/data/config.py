"""The keys of `data`: which tiles, how they are split, and how their numbers become network input."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from snowcover.data.bands import ALPHA, canonical
from snowcover.data.layer_names import all_channels
from snowcover.paths import Place, expanded, layers_to_read
from snowcover.validation import Component, Section


def _makes_tiles(node: dict[str, Any]) -> dict[str, Any]:
    """A component whose `folder`, if it has one, is a path."""
    return {**node, "folder": expanded(node["folder"])} if isinstance(node.get("folder"), str) else node


def _band_name(given: str) -> str:
    name = canonical(given) or given.strip().lower()
    if not name or name == ALPHA:
        raise ValueError(f"{given!r} names no band of measurements")
    return name


BandName = Annotated[str, AfterValidator(_band_name)]  # kept in our own words: R and red are one
TileMaker = Annotated[Component, AfterValidator(_makes_tiles)]
Share = Annotated[float, Field(gt=0, lt=1)]


def _layers(given: dict[str, str]) -> dict[str, str]:
    """By name: a mapping has no order of its own, and the order of channels must not depend on how it was written."""
    named = {_band_name(name): place for name, place in given.items()}
    channels = all_channels(named)
    if twice := [name for name in channels if channels.count(name) > 1]:
        raise ValueError(f"layers name {twice[0]} twice: leave one of them out")
    if len(named) < len(given):
        raise ValueError(f"layers name one layer in two ways: {', '.join(given)}")
    return dict(sorted(named.items()))


Layers = Annotated[
    dict[str, Place], BeforeValidator(lambda given: {} if given is None else given), AfterValidator(_layers)
]


class Source(Section):
    """Scenes and the one collect of masks that they share a date with."""

    scenes: Place | list[Place]
    """folder or s3:// pattern of the scenes, or a list of them, for example s3://bucket/2018052?_*_tiled"""
    collect: Place
    """folder or s3:// prefix of the collect of masks, for example s3://snow/ASO_3M_SD_USCATE_20180528"""
    date: str | None = None
    """date of the flight as YYYYMMDD; by default the eight digits in the collect's name"""

    @property
    def patterns(self) -> list[str]:
        return [self.scenes] if isinstance(self.scenes, str) else self.scenes


class Split(Section):
    """How tiles are divided into train, val and test."""

    by: Literal["block", "collect", "date"]
    """block: by ground, the same in every scene; collect or date: hold out the named ones"""
    block_tiles: Annotated[int, Field(ge=1)]
    """side of a ground block in tiles; above 1 keeps neighbouring tiles in one split"""
    train: Share
    """share of the blocks' tiles used for training, between 0 and 1"""
    val: Share
    """share used to choose the best epoch, between 0 and 1"""
    test: Share
    """share kept for the final scores, between 0 and 1"""
    val_names: list[str]
    """collects or dates held out for validation, with by=collect or by=date"""
    test_names: list[str]
    """collects or dates held out for the test, with by=collect or by=date"""

    @model_validator(mode="after")
    def _shares_make_one(self) -> "Split":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"the shares train + val + test make {total:g}, they must make 1")
        return self

    @model_validator(mode="after")
    def _held_out_names(self) -> "Split":
        if self.by == "block":
            return self
        if not (self.val_names and self.test_names):
            raise ValueError(f"by={self.by} needs val_names and test_names, for example val_names=[20180601]")
        if both := set(self.val_names) & set(self.test_names):
            raise ValueError(f"{', '.join(sorted(both))} is in val_names and in test_names")
        return self


class Augment(Section):
    """Changes to training tiles that leave the truth as it is."""

    flips_and_rotations: bool
    """the eight flips and rotations of a square tile, each as likely"""
    brightness: Annotated[float, Field(ge=0, lt=1)]
    """largest relative change of brightness, the same for all bands; 0 leaves it"""


class DataConfig(Section):
    """Which tiles, and how their numbers become network input."""

    images: Place | None = None
    """folder or bucket of the scenes, for example s3://planet-imagery; data.sources may refer to it"""
    masks: Place | None = None
    """folder or bucket of the collects, for example s3://snow; data.sources may refer to it"""
    sources: list[Source]
    """list of pairs, for example [{scenes: "imagery/2018*", collect: "masks/ASO_20180528"}]"""
    manifest: Place | None = None
    """manifest of an earlier run (a path or s3://...): train on exactly its pairs, without listing"""
    generate: TileMaker = Field(default_factory=dict)
    """what makes the tiles when they are not there yet: the demo data"""
    unmatched: Literal["skip", "error"]
    """what to do with images without a mask: skip or error"""
    cache: Place | None = None
    """folder that keeps tiles once read from S3"""
    bands: list[BandName] = Field(min_length=1)
    """names of the bands to use, in the order of the network's channels"""
    layers: Layers = Field(default_factory=dict)
    """tiles without a date that join the bands as channels, in the order of their names: a folder or s3:// prefix for
    each, for example {elevation: tiles/dem, canopy_height: tiles/canopy}; of an elevation's tiles also slope, aspect
    (its sine and cosine) and illumination (at the scene's time)"""
    scale: Annotated[float, Field(gt=0)]
    """factor from stored numbers to reflectance, which is stored * scale + offset"""
    offset: float
    """reflectance of a stored 0"""
    nodata: float
    """value of unobserved pixels in image tiles whose files do not say"""
    mean: list[float] | None = None
    """mean reflectance of each band; by default computed over the training tiles"""
    std: list[Annotated[float, Field(gt=0)]] | None = None
    """standard deviation of each band's reflectance; by default computed over the training tiles"""
    split: Split
    augment: Augment

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the network's channels: the bands, and then the layers."""
        return (*self.bands, *all_channels(self.layers))

    @property
    def layers_to_read(self) -> dict[str, str]:
        """Those that must be there before the run: not in the folder that `generate` fills."""
        return layers_to_read(self.layers, self.manifest, self.generate)

    @model_validator(mode="after")
    def _layers_are_no_bands(self) -> "DataConfig":
        if both := [name for name in all_channels(self.layers) if name in self.bands]:
            raise ValueError(f"{both[0]} is in bands and in layers: leave one of them out")
        return self

    @model_validator(mode="after")
    def _some_tiles(self) -> "DataConfig":
        if not (self.sources or self.manifest):
            raise ValueError(
                'give data.sources (a list of pairs such as [{scenes: "imagery/2018*", collect: "masks/ASO_2018"}]) '
                "or data.manifest (the manifest.csv of an earlier run)"
            )
        return self

    @model_validator(mode="after")
    def _one_number_per_band(self) -> "DataConfig":
        if len(set(self.bands)) < len(self.bands):
            raise ValueError(f"bands names a band twice: {self.bands}")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together: give both or neither")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != len(self.bands):
                raise ValueError(f"{name} has {len(values)} values for {len(self.bands)} bands {self.bands}")
        return self
