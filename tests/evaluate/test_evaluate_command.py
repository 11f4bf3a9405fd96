"""The command from outside: what it leaves, and what it refuses in one sentence."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from mlflow import MlflowClient

from snowcover.data.manifest import Manifest, Pair
from snowcover.data.tiles import Tile, bounds, covering
from snowcover.evaluate import publish
from snowcover.evaluate.__main__ import COMMAND
from snowcover.prepare.extent import boxes
from snowcover.prepare.reprojection import Grid
from tests.evaluate.sites import DATE, HEIGHT, PLACE, WIDTH, depth, evaluated, maps, write_site
from tests.making import compose
from tests.prepare.rasters import write_raster
from tests.starting import ROOT, Ended, start

pytestmark = pytest.mark.process

REFERENCE = f"reference=ASO_{DATE}.tif"
NETWORK = f"maps={DATE}_181110_network_probability.tif"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    root = write_site(tmp_path_factory.mktemp("valley"))
    shutil.copy(empty_database, root / "mlflow.db")
    return root


def run(site: Path, *arguments: str) -> Ended:
    return start(COMMAND, site, "tracking.system_metrics=false", "block_m=200", "draws=200", *arguments)


def test_one_command_leaves_a_report_its_figures_a_table_and_a_record(site: Path) -> None:
    ended = run(site, NETWORK, REFERENCE, "elevation=dem.tif", "out=report")
    assert ended.status == 0, ended.err
    assert "IoU" in ended.out and "report/report.html" in ended.out
    left = {str(path.relative_to(site / "report")) for path in (site / "report").rglob("*") if path.is_file()}
    assert {"report.html", "evaluation.csv", "figures/scores.png", "figures/map_1.png"} <= left
    with (site / "report" / "evaluation.csv").open() as file:
        rows = list(csv.DictReader(file))
    (iou,) = [row for row in rows if row["quantity"] == "iou" and not row["stratum"]]
    assert iou["product"] == f"{DATE}_181110_network_probability" and 0.8 < float(iou["value"]) < 1
    client = MlflowClient(f"sqlite:///{site}/mlflow.db")
    (logged,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    assert logged.data.metrics["eval_iou"] == pytest.approx(float(iou["value"]))
    assert logged.data.tags["kind"] == "evaluation"
    again = run(site, NETWORK, REFERENCE, "out=report")
    assert again.error_message.startswith(
        "report holds a report (evaluation.csv): choose another out, or set overwrite=true"
    )


def test_maps_are_scored_without_torch_and_checked_without_anything_heavy() -> None:
    code = (
        "import sys, snowcover.evaluate.__main__, snowcover.evaluate.config; first = set(sys.modules)\n"
        "import snowcover.evaluate.pipeline; print({'rasterio', 'mlflow', 'cv2'} & first, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set() False\n"


def test_a_report_that_replaces_another_leaves_none_of_its_figures(tmp_path: Path) -> None:
    out = str(tmp_path)
    publish.publish({"evaluation.csv": b"1", "figures/snow_line.png": b"1", "report.html": b"1"}, out)
    (tmp_path / "notes.txt").write_text("mine")
    publish.publish({"evaluation.csv": b"2", "figures/scores.png": b"2", "report.html": b"2"}, out)
    left = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"evaluation.csv": "2", "figures/scores.png": "2", "report.html": "2", "notes.txt": "mine"}
    with pytest.raises(publish.ReportExists):
        publish.refuse_existing(out, overwrite=False)
    publish.refuse_existing(out, overwrite=True)


def _write(root: Path, name: str, values: Any, **options: Any) -> str:
    return str(write_raster(root / "wrong" / name, values, **{"transform": PLACE, **options}).relative_to(root))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["maps=wrong/far.tif", REFERENCE], "wrong/far.tif lies at -121.767 to -121.748 degrees east"),
        (["maps=wrong/blind.tif", REFERENCE], "wrong/blind.tif has no observed pixel: check its nodata value"),
        (["maps=wrong/corner.tif", REFERENCE], "corner.tif is unobserved wherever the reference is observed"),
        (
            [NETWORK, "reference=wrong/nothing.tif"],
            "reference wrong/nothing.tif has no observed pixel where the maps lie",
        ),
        ([NETWORK, REFERENCE, "reference_kind=mask"], "reference_kind=mask, but ASO_20180528.tif holds depths"),
        ([f"maps=ASO_{DATE}.tif", REFERENCE], "which are neither classes nor shares"),
        ([NETWORK, REFERENCE, "elevation=wrong/far.tif"], "elevation=wrong/far.tif lies at"),
        ([NETWORK, REFERENCE, "exclude=[nowhere.geojson]"], "nowhere.geojson cannot be read because it does not exist"),
        ([NETWORK, "reference=wrong/elsewhere.tif"], "they do not overlap"),
        (["maps=nothing*.tif", REFERENCE], "No file matches maps=nothing*.tif"),
    ],
)
def test_wrong_inputs_end_in_one_message_and_leave_nothing(site: Path, overrides: list[str], message: str) -> None:
    one = np.ones((HEIGHT, WIDTH), np.uint8)
    _write(site, "far.tif", one, transform=PLACE * Affine.translation(-20000, 0))
    _write(site, "blind.tif", one * 255, nodata=255)
    corner = one * 255
    corner[:15, :20] = 1  # where the lidar saw nothing
    _write(site, "corner.tif", corner, nodata=255)
    _write(site, "nothing.tif", np.full((HEIGHT, WIDTH), -9999, np.float32), nodata=-9999)
    _write(site, "elsewhere.tif", depth(), crs="EPSG:32633", nodata=np.nan)  # the right numbers of another zone
    ended = run(site, *overrides, "out=refused")
    assert message in ended.error_message
    assert not (site / "refused").exists()


def test_a_map_of_another_date_gives_a_warning_with_the_gap(site: Path) -> None:
    shutil.copy(site / f"{DATE}_181110_network_probability.tif", site / "20180521_network_probability.tif")
    found = evaluated(site, f"maps={{forest: {site}/20180521_network_probability.tif}}", "block_m=900")
    assert found.notes[0].startswith("forest is of 2018-05-21, 7 days before the reference")
    assert found.notes[1].startswith("No interval is given: the evaluated ground covers 4 blocks")
    assert all(row.low is None for row in found.rows)


def test_a_stratum_that_covers_half_gives_a_note(site: Path) -> None:
    canopy = np.full((HEIGHT, WIDTH // 2), 3, np.float32)
    write_raster(site / "half.tif", canopy, transform=PLACE)
    found = evaluated(site, maps(site, "network"), f"canopy_height={site}/half.tif")
    assert found.notes[0].startswith("canopy_height covers 49% of the scored ground")


def test_excluded_ground_does_not_count(site: Path) -> None:
    """Water as a polygon in longitude and latitude, and as a raster."""
    west, north = 280000 + 400, 4190000 - 300
    xs, ys = np.array([west, west + 500, west + 500, west]), np.array([north, north, north - 400, north - 400])
    longitudes, latitudes = rasterio.warp.transform("EPSG:32611", "EPSG:4326", xs, ys)
    shape = {"type": "Polygon", "coordinates": [[*zip(longitudes, latitudes, strict=True)]]}
    (site / "water.geojson").write_text(json.dumps(shape))
    glacier = np.zeros((HEIGHT, WIDTH), np.uint8)
    glacier[100:110, 100:120] = 7
    write_raster(site / "glacier.tif", glacier, transform=PLACE)
    left_out = glacier > 0
    left_out[30:70, 40:90] = True
    found = evaluated(site, maps(site, "network"), f"exclude=[{site}/water.geojson,{site}/glacier.tif]")
    with rasterio.open(site / f"{DATE}_181110_network_probability.tif") as file:
        seen = file.read(1) != 255
    row = next(row for row in found.rows if row.quantity == "iou")
    assert row.pixels == (~np.isnan(depth()) & seen & ~left_out).sum()
    assert found.facts["Left out"] == "water.geojson, glacier.tif"


@pytest.fixture(scope="module")
def trained_map(site: Path) -> tuple[str, np.ndarray[Any, Any]]:
    """A map of a run that MLflow knows, and the ground [H, W] of its train and val tiles."""
    reference = Grid(rasterio.crs.CRS.from_epsg(32611), PLACE, WIDTH, HEIGHT)
    (box,) = boxes(reference)
    tiles = covering(box, 16)
    config = compose("data=tiles", 'data.sources=[{scenes: "s/*", collect: "c"}]', "data.split.by=collect",
                     "data.split.val_names=[b]", "data.split.test_names=[c]")  # fmt: skip
    collects = {tile: "abc"[index % 3] for index, tile in enumerate(tiles)}
    pairs = [Pair("s", *tile, collects[tile], "", f"s/{tile}", f"m/{tile}", 1, 1) for tile in tiles]
    client = MlflowClient(f"sqlite:///{site}/mlflow.db")
    run_id = client.create_run(client.create_experiment("trained", str(site / "artifacts"))).info.run_id
    client.log_text(run_id, Manifest(tuple(sorted(pairs))).to_csv(), "manifest.csv")
    client.log_dict(run_id, json.loads(json.dumps(_plain(config))), "config.yaml")
    path = site / "trained_probability.tif"
    shutil.copy(site / f"{DATE}_181110_network_probability.tif", path)
    with rasterio.open(path, "r+") as file:
        file.update_tags(SNOWCOVER_RUN_ID=run_id)
    return str(path), _ground(reference, {tile for tile in tiles if collects[tile] in "ab"})


def _plain(config: Any) -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(config, resolve=True)


def _ground(reference: Grid, tiles: set[Tile]) -> np.ndarray[Any, Any]:
    """Where a pixel's centre lies in a tile, by each tile's bounds."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    xs, ys = reference.transform * (columns.ravel(), rows.ravel())
    xs, ys = (np.reshape(one, columns.shape) for one in rasterio.warp.transform("EPSG:32611", "EPSG:3857", xs, ys))
    found = np.zeros(columns.shape, bool)
    for tile in tiles:
        left, bottom, right, top = bounds(tile)
        found |= (xs >= left) & (xs < right) & (ys > bottom) & (ys <= top)
    return found


def test_ground_that_the_run_trained_on_is_left_out_and_scored_separately(
    site: Path, trained_map: tuple[str, np.ndarray[Any, Any]]
) -> None:
    path, trained = trained_map
    found = evaluated(site, f"maps={path}", f"tracking.uri=sqlite:///{site}/mlflow.db")
    with rasterio.open(path) as file:
        common = ~np.isnan(depth()) & (file.read(1) != 255)
    pixels = {row.ground: row.pixels for row in found.rows if row.quantity == "iou" and row.stratum is None}
    assert pixels == {"unseen": (common & ~trained).sum(), "trained": (common & trained).sum()}
    assert found.facts["Ground"] == "unseen ground"
    everything = evaluated(site, f"maps={path}", f"tracking.uri=sqlite:///{site}/mlflow.db", "ground=all")
    assert {row.ground for row in everything.rows} == {"all"}
    assert next(row for row in everything.rows if row.quantity == "iou").pixels == common.sum()


def test_ground_of_an_unknown_run_counts_with_a_note(site: Path, trained_map: Any) -> None:
    found = evaluated(site, f"maps={trained_map[0]}", f"tracking.uri=sqlite:///{site}/nothing.db")
    assert found.facts["Ground"] == "all ground"
    assert "is unknown, so it is included" in found.notes[0]
