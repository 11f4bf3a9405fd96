"""Saved runs on their own tiles: counts are those of training, and two runs are compared on the same tiles."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from mlflow import MlflowClient

from snowcover.data.manifest import manifest
from snowcover.data.split import assign_splits
from snowcover.data.tiles import Tile
from snowcover.evaluate.__main__ import COMMAND
from snowcover.evaluate.config import Config
from snowcover.evaluate.evaluate_runs import evaluate_runs
from snowcover.evaluate.saved_run import NoSharedTiles, NotARun, load_runs, shared_keys, short_names
from snowcover.evaluate.saved_tiles import SavedTiles, TileBlocks, certain_distances
from snowcover.model_uri import NoManifest
from snowcover.tracking import recorded
from tests.evaluate.test_config import config as evaluation
from tests.making import config, sources
from tests.predict.making import BRIGHT_LEVEL, LEVEL, write_checkpoint
from tests.starting import start


@pytest.fixture(scope="module")
def home(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of one split."""
    root = tmp_path_factory.mktemp("runs")
    composed = config("data=tiles", sources(site))
    for name, bias in (("first", 0.0), ("second", 2.0)):
        path = write_checkpoint(root / name / "checkpoints/best.ckpt", run_id=name[0] * 32, baselines=name == "first")
        checkpoint = torch.load(path, weights_only=False)
        checkpoint["state_dict"]["mapper.network.mix.bias"].fill_(bias)
        checkpoint["snowcover"]["tile_size"] = 64
        torch.save(checkpoint, path)
        (root / name / "manifest.csv").write_text(manifest(composed.data).to_csv())
    return root


def asked(home: Path, what: str, *more: str) -> Config:
    return evaluation(what, f"tracking.uri=sqlite:///{home}/mlflow.db", *more)


def tiles_of(config: Config) -> SavedTiles:
    runs = load_runs(config)
    return SavedTiles(runs, tuple(shared_keys(runs, config.split)), config.block_m, "cpu")


def sides_of(site: Path) -> list[str]:
    composed = config("data=tiles", sources(site))
    return assign_splits(manifest(composed.data).pairs, composed.data.split, composed.seed)


def test_each_product_is_its_runs_network_on_the_test_tiles(home: Path, site: Path) -> None:
    tiles = tiles_of(asked(home, f"compare=[{home}/first,{home}/second]"))
    test = [pair for pair, side in zip(manifest(config("data=tiles", sources(site)).data).pairs, sides_of(site),
                                       strict=True) if side == "test"]  # fmt: skip
    assert list(tiles.pairs) == test
    for chunk, pair in zip(tiles.chunks(), test, strict=True):
        with rasterio.open(pair.image) as image, rasterio.open(pair.mask) as mask:
            raw, truth = image.read().astype(float), mask.read(1)
        unobserved = (raw == 0).all(axis=0)
        logit = 4 * (raw.mean(axis=0) * 1e-4 - LEVEL) / 0.1
        for name, bias in (("first", 0), ("second", 2)):
            wanted = np.where(unobserved, np.nan, 1 / (1 + np.exp(-logit - bias)))
            assert np.allclose(chunk.probability[name], wanted, atol=1e-3, equal_nan=True)
            share = np.where(unobserved, np.nan, wanted >= 0.5)
            assert np.mean(np.isclose(chunk.share[name], share, equal_nan=True)) > 0.999
        assert np.array_equal(chunk.snow, np.where(unobserved, 255, truth))


def test_chunks_say_scene_place_and_block_of_each_tile(home: Path) -> None:
    tiles = tiles_of(asked(home, f"compare=[{home}/first,{home}/second]", "block_m=500"))
    assert [stratum.name for stratum in tiles.strata] == ["snow_edge", "scene"]
    chunks = list(tiles.chunks())
    assert len(chunks) == len(tiles.keys)
    blocks = {}
    for chunk, pair in zip(chunks, tiles.pairs, strict=True):
        assert np.all(chunk.strata["scene"] == tiles.scenes.index(pair.scene))
        assert np.isnan(chunk.probability["first"][:3, :5]).all()  # unobserved in the image
        assert np.array_equal(np.isnan(chunk.probability["first"]), np.isnan(chunk.share["first"]))
        assert not chunk.trained.any()  # they are test tiles
        assert np.array_equal(blocks.setdefault(pair.tile, chunk.block), chunk.block)  # of both scenes the same
    assert {*np.unique(list(blocks.values()))} <= set(range(tiles.blocks.count))


def test_val_and_test_tiles_are_apart(home: Path) -> None:
    test, val = (tiles_of(asked(home, f"run={home}/first", f"split={split}")) for split in ("test", "val"))
    assert test.names == val.names == ("Brightness", "forest", "brightness")
    assert not {pair.tile for pair in test.pairs} & {pair.tile for pair in val.pairs}
    assert not {pair.tile for pair in test.pairs} & test.runs[0].seen
    assert {pair.tile for pair in val.pairs} <= val.runs[0].seen


def test_runs_are_named_by_what_distinguishes_them() -> None:
    def config(target: str, run_name: str | None = None, **model: str) -> dict[str, Any]:
        return {"model": {"_target_": f"smp.{target}", **model}, "run_name": run_name}

    alike = [config("Unet", encoder_name="resnet18")] * 5
    addresses = ["f" * 32, "a/run", "b/run/", "models:/snow/3", "s3://b/x/checkpoints/best.ckpt"]
    assert short_names(addresses, alike) == ["run ffffffff", "run", "run (2)", "snow 3", "x"]
    assert short_names(["a", "b"], [*alike[:1], config("Unet", encoder_name="b0")]) == ["Unet resnet18", "Unet b0"]
    assert short_names(["a"], [config("TernausV2", "paper")]) == ["paper"]
    assert short_names(["a", "b"], [config("Unet", "same"), config("Fpn", "same")]) == ["Unet", "Fpn"]


def test_runs_are_scored_and_compared_with_facts_and_notes(home: Path) -> None:
    asked_for = asked(home, f"compare=[{home}/first,{home}/second]", "block_m=150", "draws=100")
    found, training_runs = evaluate_runs(asked_for)
    assert training_runs == {"first": "f" * 32, "second": "s" * 32}
    first, second = (found.value(name, "iou", ground="unseen") for name in ("first", "second"))
    assert first is not None and second is not None
    (change,) = [row for row in found.rows if row.quantity == "iou" and row.versus == "second"]
    assert change.value == pytest.approx(first - second)
    assert change.low is not None and change.high is not None and change.low <= change.value <= change.high
    assert found.value("first", "brier") is not None
    assert {row.stratum for row in found.rows} == {None, "snow_edge", "scene"}
    assert found.facts["Tiles"].endswith("test tiles of 64 pixels, of 2 scenes")
    assert found.facts["Reference"] == "masks of ASO_20180528"
    assert found.notes == ()


@pytest.mark.slow
def test_one_command_makes_a_report_of_a_saved_run_and_records_it_in_mlflow(
    home: Path, empty_database: Path, tmp_path: Path
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with recorded(f"sqlite:///{tmp_path}/mlflow.db", "snow", "training", False) as recorder:
        pass
    shutil.copytree(home / "first", tmp_path / "run")
    path = tmp_path / "run/checkpoints/best.ckpt"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["snowcover"]["run_id"] = recorder.run_id
    torch.save(checkpoint, path)
    ended = start(COMMAND, tmp_path, "run=run", "out=report", "draws=100", "tracking.system_metrics=false")
    assert ended.status == 0, ended.err
    assert {"report.html", "evaluation.csv", "figures"} == {path.name for path in (tmp_path / "report").iterdir()}
    run = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(recorder.run_id)
    assert 0.7 < run.data.metrics["eval_iou"] < 0.8
    assert run.data.tags["evaluation.reference"] == "test tiles"
    assert (Path(run.info.artifact_uri) / "evaluation/report/report.html").is_file()


def test_tiles_that_took_part_in_training_are_scored_with_a_note(home: Path) -> None:
    found, training_runs = evaluate_runs(asked(home, f"run={home}/first", "split=val", "draws=100"))
    assert training_runs == dict.fromkeys(("Brightness", "forest", "brightness"), "f" * 32)
    assert found.value("Brightness", "iou", ground="all") is not None
    assert found.facts["brightness"].endswith("/first: its brightness threshold, snow from 0.5 on, commit c0ffee")
    assert "These are val tiles, whose scores chose the epoch of each run" in found.notes[0]
    assert "No interval is given" in found.notes[1]


def test_the_stored_baselines_of_a_run_are_products_too(home: Path) -> None:
    tiles = tiles_of(asked(home, f"run={home}/first"))
    for chunk, pair in zip(tiles.chunks(), tiles.pairs, strict=True):
        with rasterio.open(pair.image) as image:
            raw = image.read().astype(float)
        unobserved = (raw == 0).all(axis=0)
        wanted = np.where(unobserved, np.nan, raw.mean(axis=0) * 1e-4 >= BRIGHT_LEVEL)
        assert np.allclose(chunk.share["brightness"], wanted, equal_nan=True)
        assert set(np.unique(chunk.probability["forest"][~unobserved].astype(float).round(2))) <= {
            0.15,
            0.45,
            0.5,
            0.55,
            0.85,
        }
        assert set(chunk.probability) == {"Brightness", "forest"}  # a threshold says yes or no


def test_what_cannot_be_evaluated_is_refused_in_one_message(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotARun, match="compare names .*first twice"):
        load_runs(asked(home, f"compare=[{home}/first,{home}/first]"))
    shutil.copy(home / "first/checkpoints/best.ckpt", tmp_path / "alone.ckpt")
    with pytest.raises(NoManifest, match=r"alone.ckpt has no manifest.csv next to it"):
        load_runs(asked(home, f"run={tmp_path}/alone.ckpt"))
    torch.save({"state_dict": {}, "other": 1}, tmp_path / "pink.ckpt")
    with pytest.raises(NotARun, match="checkpoint of another project"):
        load_runs(asked(home, f"run={tmp_path}/pink.ckpt"))
    first, second = load_runs(asked(home, f"compare=[{home}/first,{home}/second]"))
    object.__setattr__(second, "pairs", {})
    with pytest.raises(NoSharedTiles, match=r"No tile is a test tile of every run \(first has \d+; second has 0\)"):
        shared_keys((first, second), "test")


def test_blocks_are_squares_of_ground_wherever_tiles_lie() -> None:
    tiles = tuple(Tile(15, 5500 + column, 12600 + row) for column in range(3) for row in range(3))
    blocks = TileBlocks(tiles, 500.0)
    size_px = 64
    whole = np.block([[blocks.of(Tile(15, 5500 + column, 12600 + row), size_px) for column in range(3)]
                      for row in range(3)])  # fmt: skip
    places = blocks.places[whole]  # [H, W, 2]
    assert np.array_equal(np.diff(places[:, :, 0], axis=1), np.zeros((192, 191)))
    assert np.array_equal(np.diff(places[:, :, 1], axis=0), np.zeros((191, 192)))
    pixel_m = 2 * 20037508.342789 / 2**15 / size_px * np.cos(np.radians(38.06))
    counts = np.bincount(whole.ravel())
    assert np.sqrt(counts.max()) * pixel_m == pytest.approx(500, rel=0.03)
    assert len(np.unique(whole)) <= blocks.count == len(blocks.places)


def test_distances_that_the_next_tile_could_change_are_left_out() -> None:
    edge_m = np.full((64, 64), 5.0)
    found = certain_distances(edge_m, 4.0)
    assert np.isnan(found[0]).all() and np.isnan(found[:, -1]).all()  # 2 m from the rim
    assert (found[1:-1, 1:-1] == 5.0).all()  # 6 m and more
    far = certain_distances(np.full((64, 64), 400.0), 4.0)
    assert np.isnan(far[3]).all() and (far[4:-4, 4:-4] == 400.0).all()  # 18 m: in the last bin, whatever comes
