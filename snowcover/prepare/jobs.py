"""From a source file to everything needed before its first tile is rendered."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from snowcover.data.index import Index, Origin, Setting
from snowcover.data.layer_names import ELEVATION
from snowcover.data.tiles import Bounds, Tile
from snowcover.errors import UserError
from snowcover.labels import UNOBSERVED
from snowcover.prepare import collect, depths, imagery, layer, names, raster, zoom
from snowcover.prepare.aoi import AreaOfInterest
from snowcover.prepare.config import Config
from snowcover.prepare.encode import Tags
from snowcover.prepare.extent import boxes
from snowcover.prepare.imagery import Imagery
from snowcover.prepare.nodata import nodata_values
from snowcover.prepare.pixels import Pixels
from snowcover.prepare.preview import layout
from snowcover.prepare.raster import Raster
from snowcover.prepare.tile_rendering import RenderSettings
from snowcover.prepare.warp import Source, warp

MOST_TILES = 10_000_000  # listed in memory, about 1 GB; at best some days of work

Opener = Callable[[], AbstractContextManager[Source]]


class NothingToMake(UserError):
    """No tile can be made from a source; the message follows "No tile was made: "."""


class TooManyTiles(UserError):
    """A source that is too large to be tiled at this zoom."""


@dataclass(frozen=True)
class Job:
    """One folder of tiles to make from one source."""

    name: str
    folder: str
    source: Raster
    opener: Opener
    """opens the source for one thread"""
    tiles: tuple[Tile, ...]
    """candidates: the tiles that the source touches and the cover allows"""
    render: RenderSettings
    index: Index
    """not complete yet, no tiles"""
    rule: collect.Rule | None = None
    """of a collect"""


def collect_job(config: Config, scratch: str, area: AreaOfInterest | None) -> Job:
    """Raises: UserError, naming the collect."""
    uri = str(config.collect)
    found = raster.inspect(uri, raster.local_file(uri, scratch), config.crs)
    collect.check(found)
    tiles = _tiles(found, config, area)
    rule = _rule(config, found)
    settings = _common_settings(config, area) | _pixel_settings(found.pixels, rule.all_nodata) | _depth_settings(rule)
    render = RenderSettings(
        config.tile_size, config.min_valid, config.compress, Tags(UNOBSERVED, ("snow",)), True, (0,),
        layout(tiles).side_px,
    )  # fmt: skip
    index = Index(kind="collect", complete=False, source=_origin(found), settings=settings)
    return Job(found.name, config.out.rstrip("/"), found, _collect_opener(found, rule), tiles, render, index, rule)


def layer_job(config: Config, scratch: str, area: AreaOfInterest | None) -> Job:
    """Raises: UserError, naming the layer's raster."""
    uri = str(config.layer)
    source = raster.inspect(uri, raster.local_file(uri, scratch), config.crs)
    found = layer.inspect(source, config.layer_name, config.nodata)
    tiles = _tiles(source, config, area)
    settings = _common_settings(config, area) | _pixel_settings(source.pixels, found.unobserved)
    settings |= {"min_valid": None, "bands": found.bands, "scale": found.scale, "offset": found.offset}
    render = RenderSettings(  # every pixel counts: where a layer has no tile, no image can be used
        config.tile_size, 0.0, config.compress, Tags(math.nan, found.bands), False, (0,), layout(tiles).side_px,
        sample=layer.terrain if found.name == ELEVATION else warp,
    )  # fmt: skip
    index = Index(kind="layer", complete=False, source=_origin(source), settings=settings)
    return Job(source.name, config.out.rstrip("/"), source, found.opened, tiles, render, index)


def scene_job(config: Config, uri: str, scratch: str, area: AreaOfInterest | None) -> Job:
    """Raises: UserError, naming the scene."""
    found = imagery.inspect(config, uri, scratch)
    tiles = _tiles(found.raster, config, area)
    mask, pixels = found.udm, found.raster.pixels
    settings = (
        _common_settings(config, area)
        | _pixel_settings(pixels, found.unobserved)
        | {
            "bands": found.names,
            "radiance": "reflectance" if found.factors else None,
            "radiance_factors": found.factors,
            "udm": mask.uri.rsplit("/", 1)[-1] if mask else None,
            "udm_crc32": mask.crc32 if mask else None,
            "udm_bits": mask.bits if mask else None,
            "udm_bands": mask.bands if mask and mask.is_udm2 else None,
        }
    )
    render = RenderSettings(
        config.tile_size, config.min_valid, config.compress, _tags(found), False, names.true_colour(found.names),
        layout(tiles).side_px, found.factors,
    )  # fmt: skip
    index = Index(kind="scene", complete=False, source=_origin(found.raster), settings=settings)
    return Job(found.name, f"{config.out.rstrip('/')}/{found.name}", found.raster, found.opened, tiles, render, index)


def _tags(found: Imagery) -> Tags:
    """The tags of a scene's tiles."""
    pixels = found.raster.pixels
    if found.factors or not pixels.is_scaled:  # Planet's own reflectance x 10000 has no scale tag
        return Tags(found.nodata, found.names)
    return Tags(found.nodata, found.names, pixels.scales, pixels.offsets)


def _rule(config: Config, found: Raster) -> collect.Rule:
    """The rule that makes a pixel of the collect snow, found by scanning all of it."""
    own, *other = nodata_values(found.uri, found.pixels, config.nodata) or (None,)
    rule = collect.Rule(
        own, config.depth_threshold_m, config.depth_lowest_m, config.depth_highest_m, other_nodata=tuple(other)
    )
    with raster.settings(), raster.opened(found.uri, found.path) as file:
        return depths.recognise(depths.Collect(found.uri, file, found.pixels, config.depth_unit, config.nodata), rule)


def _pixel_settings(pixels: Pixels, unobserved: tuple[float, ...]) -> dict[str, Setting]:
    """How pixel values are read, for the index."""
    return {
        "nodata": tuple(f"{value:.17g}" for value in unobserved),
        "dataset_mask": pixels.has_mask,
        "scales": pixels.scales,
        "offsets": pixels.offsets,
    }


def _depth_settings(rule: collect.Rule) -> dict[str, Setting]:
    keys = ("threshold_m", "lowest_m", "highest_m", "scale_m", "offset_m")
    return {f"depth_{key}": None if rule.is_mask else getattr(rule, key) for key in keys}


def _tiles(source: Raster, config: Config, area: AreaOfInterest | None) -> tuple[Tile, ...]:
    touched = boxes(source.grid)
    _refuse_too_many(source, config, touched if area is None else area.boxes(touched))
    if area is None:
        return tuple(zoom.candidates(source.grid, config.zoom))
    covered = area.within(touched, config.zoom)
    if not covered:
        raise NothingToMake(f"{source.uri} touches none of the tiles of cover={config.cover}: is it the right area?")
    return tuple(zoom.sort(covered))


def _refuse_too_many(source: Raster, config: Config, touched: Sequence[Bounds]) -> None:
    if (count := zoom.count(touched, config.zoom)) > MOST_TILES:
        fitting = zoom.fitting_zoom(source.grid, config.tile_size)
        raise TooManyTiles(
            f"{source.uri} would give about {count:,.0f} tiles at zoom={config.zoom}, more than {MOST_TILES:,}: "
            f"its pixels of {fitting.pixel_m:.3g} m fit zoom={fitting.zoom}, and cover=... limits the area."
        )


def _common_settings(config: Config, area: AreaOfInterest | None) -> dict[str, Setting]:
    settings = config.model_dump(include={"zoom", "tile_size", "min_valid", "compress", "crs"})
    return settings | {"cover": area.digest if area else None}


def _origin(source: Raster) -> Origin:
    return Origin(name=source.uri.rsplit("/", 1)[-1], size_bytes=source.size_bytes, crc32=source.crc32)


def _collect_opener(source: Raster, rule: collect.Rule) -> Opener:
    @contextmanager
    def opener() -> Iterator[Source]:
        with raster.opened(source.uri, source.path) as file:
            yield collect.CollectSource(file, source.grid, source.pixels, rule)

    return opener
