"""The STAC item of a map: place and time, its files, and its provenance.

Written last, so that a map with an item is complete. The same map gives the same bytes: it holds no creation time.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np
import pystac
import torch
from pystac.extensions.classification import Classification, ClassificationExtension
from pystac.extensions.file import FileExtension
from pystac.extensions.mlm import (
    AssetGeneralMLMExtension,
    InputStructure,
    MLMExtension,
    ModelInput,
    ModelOutput,
    ResultStructure,
    TaskType,
)
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import DataType, RasterBand, RasterExtension
from rasterio.warp import transform_geom

from snowcover.data.dates import date_in, instant_in
from snowcover.labels import BARE, SNOW, UNOBSERVED
from snowcover.predict import facts
from snowcover.predict.facts import MapFacts
from snowcover.predict.mapping import OutputGrid
from snowcover.predict.raster_files import COLOURS, DESCRIPTIONS, SCALES, Kind
from snowcover.prepare.extent import ring
from snowcover.prepare.reprojection import Grid
from snowcover.trained_model import TrainedModel

OURS = "snowcover:"  # prefix of properties that no STAC extension defines
SETTINGS = f"{OURS}settings"
FIRST_LANDSAT = datetime(1972, 7, 23, tzinfo=UTC)  # no scene is older; STAC requires a time, a name may lack one
END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC)
CLASS_NAMES = {BARE: "no_snow", SNOW: "snow", UNOBSERVED: "unobserved"}
_SHA256 = "1220"  # multihash: SHA-256, of 32 bytes


@dataclass(frozen=True)
class AssetFile:
    """One of a map's files."""

    href: str
    """relative to the item"""
    size_bytes: int
    sha256: str


def item(found: MapFacts, rasters: Mapping[Kind, AssetFile], preview: AssetFile, hrefs: list[str]) -> bytes:
    """The content of the item's file.

    Args:
        hrefs: of the networks' checkpoints.
    """
    geometry, bbox = _ground(found.grid)
    when, start, end = _time(found.name)
    made = pystac.Item(
        found.name, geometry, bbox, when, start_datetime=start, end_datetime=end,
        properties={f"{OURS}{key}": value for key, value in facts.plain(found).items() if value is not None},
    )  # fmt: skip
    made.properties[SETTINGS] = dict(found.settings)
    _add_projection(made, found.grid)
    for kind, file in rasters.items():
        _add_raster(made, kind, file)
    _add_file(made, "preview", preview, pystac.MediaType.PNG, ["thumbnail"], "Preview")
    _add_models(made, found.models, hrefs)
    return (json.dumps(made.to_dict(include_self_link=False), indent=1) + "\n").encode()


def _ground(grid: OutputGrid) -> tuple[dict[str, Any], list[float]]:
    """The outline in longitude and latitude, cut at the 180th meridian, and its bounding box."""
    xs, ys = ring(Grid(grid.crs, grid.transform, grid.width, grid.height), 9)
    points = [point for point, _ in groupby(zip(xs.tolist(), ys.tolist(), strict=True))]  # corners come twice
    outline = {"type": "Polygon", "coordinates": [points]}
    geometry = transform_geom(grid.crs, "EPSG:4326", outline, antimeridian_cutting=True, precision=7)
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    boxes = [(*np.min(part[0], axis=0)[:2], *np.max(part[0], axis=0)[:2]) for part in parts]
    west, south, east, north = (float(pick(box[i] for box in boxes)) for i, pick in enumerate((min, min, max, max)))
    if len(boxes) > 1 and east - west > 180:  # across the 180th meridian the western end has the greater longitude
        west, east = max(box[0] for box in boxes), min(box[2] for box in boxes)
    return geometry, [float(west), south, float(east), north]


def _time(name: str) -> tuple[datetime | None, datetime | None, datetime | None]:
    """The instant in a scene's name, or the interval that contains it."""
    if (instant := instant_in(name)) is not None:
        return instant, None, None
    try:
        day = datetime.strptime(date_in(name), "%Y%m%d").replace(tzinfo=UTC)
        return None, day, day.replace(hour=23, minute=59, second=59)
    except ValueError:
        return None, FIRST_LANDSAT, END_OF_TIME


def _add_projection(made: pystac.Item, grid: OutputGrid) -> None:
    authority = grid.crs.to_authority()
    ProjectionExtension.ext(made, add_if_missing=True).apply(
        code=":".join(authority) if authority else None,
        wkt2=None if authority else grid.crs.to_wkt(version="WKT2_2019"),
        shape=[grid.height, grid.width],
        transform=list(grid.transform)[:6],
    )


def _add_raster(made: pystac.Item, kind: Kind, file: AssetFile) -> None:
    asset = _add_file(made, kind, file, pystac.MediaType.COG, ["data"], DESCRIPTIONS[kind].capitalize())
    band = RasterBand.create(nodata=UNOBSERVED, data_type=DataType.UINT8, scale=SCALES.get(kind))
    RasterExtension.ext(asset, add_if_missing=True).apply([band])
    if kind == "snow":
        classes = [
            Classification.create(
                value, name=name, title=name.replace("_", " "), color_hint="{:02X}{:02X}{:02X}".format(*COLOURS[value]),
                nodata=value == UNOBSERVED or None,
            )
            for value, name in CLASS_NAMES.items()
        ]  # fmt: skip
        ClassificationExtension.ext(asset, add_if_missing=True).apply(classes)


def _add_file(
    made: pystac.Item, key: str, file: AssetFile, media_type: str, roles: list[str], title: str
) -> pystac.Asset:
    asset = pystac.Asset(file.href, title=title, media_type=media_type, roles=roles)
    made.add_asset(key, asset)
    FileExtension.ext(asset, add_if_missing=True).apply(checksum=_SHA256 + file.sha256, size=file.size_bytes)
    return asset


def _add_models(made: pystac.Item, models: tuple[TrainedModel, ...], hrefs: list[str]) -> None:
    """The model that made the map (of several networks the first), by the Machine Learning Model extension."""
    first, tasks = models[0], [TaskType.SEMANTIC_SEGMENTATION]
    input_structure = InputStructure.create(
        [-1, len(first.channels), -1, -1], ["batch", "bands", "height", "width"], DataType.FLOAT32
    )
    result_structure = ResultStructure.create([-1, -1, -1], ["batch", "height", "width"], DataType.FLOAT32)
    MLMExtension.ext(made, add_if_missing=True).apply(
        name=f"snowcover {first.run_id or first.checkpoint_sha256[:12]}",  # must begin with a letter
        architecture=type(first.mapper.network).__name__,
        tasks=tasks,
        input=[ModelInput.create("stored numbers of a scene", list(first.channels), input_structure)],
        output=[ModelOutput.create("probability of snow", tasks, result_structure)],
        framework="PyTorch",
        framework_version=torch.__version__,
        total_parameters=sum(parameter.numel() for parameter in first.mapper.network.parameters()),
    )
    del made.properties["mlm:pretrained_source"]  # None would mean that it was trained from random weights
    for number, (model, href) in enumerate(zip(models, hrefs, strict=True), start=1):
        key = "model" if len(models) == 1 else f"model_{number}"
        asset = pystac.Asset(href, title="Checkpoint", media_type="application/octet-stream", roles=["mlm:model"])
        made.add_asset(key, asset)
        AssetGeneralMLMExtension.ext(asset).apply(artifact_type="torch.save")
        asset.extra_fields["raster:bands"] = [{"name": band} for band in model.channels]  # those of its input
        FileExtension.ext(asset).apply(checksum=_SHA256 + model.checkpoint_sha256)
