"""The keys of conf/prepare.yaml: their types, ranges and meaning."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from snowcover.data.bands import canonical
from snowcover.data.layer_names import ASPECT, ELEVATION, ILLUMINATION
from snowcover.paths import Place
from snowcover.sensors.planetscope import Udm2Band
from snowcover.validation import Section

DERIVED = (ASPECT, ILLUMINATION)  # computed when read; data.layers never reads a band of that name

Bit = Annotated[int, Field(ge=0, le=7)]


class UdmConfig(Section):
    """Planet's mask of unusable pixels next to a scene."""

    use: bool
    """whether pixels that the UDM calls unusable become nodata"""
    file: Place | None
    """the UDM or UDM2 of the single scene given; by default the one next to each scene, if there is one"""
    bits: list[Bit]
    """bits of a UDM, or of UDM2's last band, that make a pixel unusable"""
    bands: list[Udm2Band]
    """bands of a UDM2 that make a pixel unusable"""


class ImageryConfig(Section):
    """How scenes are read, by every command."""

    crs: str | None
    """coordinate reference system of sources that have none, or a wrong one, for example EPSG:32612"""
    bands: list[str] | None
    """names of a scene's bands, in its order; by default the file's own, or PlanetScope's for four unnamed bands"""
    nodata: Annotated[float, Field(allow_inf_nan=True)] | None
    """value of unobserved pixels besides the file's own nodata value; by default 0 in scenes without nodata or mask"""
    radiance: Literal["keep", "reflectance"]
    """whether Planet's TOA radiance (AnalyticMS without _SR) is kept, or converted to reflectance x 10000"""
    udm: UdmConfig


class Config(ImageryConfig):
    """One command: one collect, or any number of scenes."""

    collect: Place | None
    """a GeoTIFF of snow depth, or a mask of 0 and 1, on disk or in S3"""
    scenes: Place | list[Place] | None
    """GeoTIFFs of imagery: a path or s3:// pattern, or a list of them"""
    layer: Place | None
    """a GeoTIFF without a date, such as an elevation, whose tiles join the bands as channels (data.layers)"""
    layer_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
    """name of a layer's only band; from an elevation, in metres, slope and aspect are derived as well"""
    out: Place
    """folder or s3:// prefix of the collect or layer; each scene gets a folder of its name in it"""
    zoom: Annotated[int, Field(ge=0, le=24)]
    """zoom of the tiles, 0 to 24"""
    tile_size: Annotated[int, Field(ge=16, le=4096)]
    """side of a tile in pixels, 16 to 4096"""
    min_valid: Annotated[float, Field(ge=0, le=1)]
    """least share of a tile that must be observed, 0 to 1; for a layer one pixel is enough"""
    cover: Place | list[Place] | None
    """make only these tiles: z/x/y names, a file of them, a footprint (.geojson), or the folder of a collect"""
    compress: Literal["zstd", "deflate"]
    """zstd is quicker, deflate is read by older programs too"""
    workers: Annotated[int, Field(ge=1)] | None
    """threads; by default one per core"""
    dry_run: bool
    """estimate how many tiles, how large and how long, and write nothing to out"""
    overwrite: bool
    """replace tiles in out that were made with other settings; else they are refused"""
    depth_threshold_m: Annotated[float, Field(ge=0)]
    """least snow depth in metres that counts as snow"""
    depth_lowest_m: float
    """depths below this are measurement errors, hence unobserved"""
    depth_highest_m: float
    """depths above this are measurement errors, hence unobserved"""
    depth_unit: Literal["m", "cm", "mm", "ft"] | None
    """unit of a collect's depths; by default the file's own, else metres"""

    @model_validator(mode="after")
    def _one_kind(self) -> "Config":
        if sum(source is not None for source in (self.collect, self.scenes, self.layer)) != 1:
            raise ValueError("give exactly one of collect=FILE, scenes=FILES and layer=FILE")
        return self

    @model_validator(mode="after")
    def _nothing_of_the_other_kind(self) -> "Config":
        if self.collect is not None and self.bands is not None:
            raise ValueError("bands names the bands of scenes, a collect has one of depth or a mask: leave bands out")
        if self.scenes is not None and self.depth_unit is not None:
            raise ValueError("depth_unit is the unit of a collect, scenes have none: leave depth_unit out")
        return self

    @model_validator(mode="after")
    def _nothing_else_of_a_layer(self) -> "Config":
        if self.layer is None:
            if self.layer_name != ELEVATION:
                raise ValueError(f"layer_name={self.layer_name} is for layer=FILE: leave it out")
            return self
        for key in ("bands", "depth_unit"):
            if getattr(self, key) is not None:
                raise ValueError(f"{key} is not for a layer, which has one band, called layer_name: leave {key} out")
        if canonical(self.layer_name) != self.layer_name or self.layer_name in DERIVED:
            raise ValueError(f"layer_name={self.layer_name} cannot be the name of a raster's band: give another name")
        return self

    @model_validator(mode="after")
    def _depths_in_order(self) -> "Config":
        if not self.depth_lowest_m <= self.depth_threshold_m <= self.depth_highest_m:
            raise ValueError(
                f"depth_threshold_m={self.depth_threshold_m} must lie between depth_lowest_m={self.depth_lowest_m} "
                f"and depth_highest_m={self.depth_highest_m}"
            )
        return self

    @property
    def patterns(self) -> list[str]:
        return [self.scenes] if isinstance(self.scenes, str) else self.scenes or []
