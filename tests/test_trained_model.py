"""Each form of address gives the same network, with all that mapping needs to know of it."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from snowcover import checkpoints
from snowcover.checkpoints import BadCheckpoint
from snowcover.errors import UserError
from snowcover.evaluate.saved_run import load_runs, shared_keys
from snowcover.evaluate.saved_tiles import SavedTiles
from snowcover.model_uri import NoModel
from snowcover.models.ternausv2 import TernausV2
from snowcover.scoring.confusion import Counts, scores
from snowcover.trained_model import ModelOverrides, UnknownModelFact, WrongModelFact, load_trained_model
from snowcover.training.run import fit
from tests.evaluate.test_config import config as evaluation
from tests.making import BANDS, config, sources
from tests.servers import Bucket

pytestmark = pytest.mark.training

NOTHING = ModelOverrides()
PINK = ModelOverrides(bands=BANDS, mean=(0.1, 0.1, 0.1, 0.2), std=(0.1, 0.1, 0.1, 0.1), zoom=15)


@pytest.fixture(scope="module")
def run(site: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a complete run of ternausv2, whose model MLflow has, and the address of that store."""
    root = tmp_path_factory.mktemp("trained")
    shutil.copy(empty_database, root / "mlflow.db")
    uri = f"sqlite:///{root}/mlflow.db"
    small = (
        "model=ternausv2", "model.encoder_name=resnet18", "model.num_filters=2", "trainer.max_epochs=1",
        "trainer.batch_size=4", "hw=cpu",
    )  # fmt: skip
    fit(
        config("data=tiles", sources(site), *small, f"tracking.uri={uri}", "tracking.system_metrics=false"),
        root / "run",
        [],
    )
    return root / "run", uri


def answers(model, other) -> bool:
    """Whether two mappers say the same of some tile."""
    tile = torch.randint(1, 8000, (1, 4, 64, 64))
    with torch.no_grad():
        return torch.allclose(model.mapper(tile), other.mapper(tile), atol=1e-6)


def test_a_checkpoint_says_all_that_mapping_needs(run: tuple[Path, str]) -> None:
    best = run[0] / "checkpoints/best.ckpt"
    model = load_trained_model(str(best), NOTHING)
    assert (model.bands, model.zoom, model.tile_size, model.threshold) == (BANDS, 15, 64, 0.5)
    assert (model.scale, model.offset, model.nodata, model.experiment) == (1e-4, 0, 0, "snowcover")
    assert model.checkpoint_sha256 == hashlib.sha256(best.read_bytes()).hexdigest()
    assert model.run_id == checkpoints.load(str(best))["snowcover"]["run_id"]
    assert model.config_digest and f'"identity": "{model.config_digest}"' in (run[0] / "run.json").read_text()
    assert not model.mapper.training and len(model.mean) == len(model.std) == 4


def test_a_run_is_found_by_folder_by_its_id_and_by_its_model(run: tuple[Path, str]) -> None:
    folder, uri = run
    here = load_trained_model(str(folder), NOTHING)
    assert here.run_id
    by_id = load_trained_model(here.run_id, NOTHING, uri)
    (model,) = MlflowClient(uri).get_run(here.run_id).outputs.model_outputs
    by_model = load_trained_model(f"models:/{model.model_id}", NOTHING, uri)
    for other in (by_id, by_model):
        assert answers(here, other)
        for name in ("mean", "std"):
            assert np.allclose(getattr(other, name), getattr(here, name), rtol=1e-6)
        same = ("bands", "zoom", "tile_size", "run_id", "experiment", "config_digest", "commit")
        assert {name: getattr(other, name) for name in same} == {name: getattr(here, name) for name in same}
    assert by_id.checkpoint_uri == by_model.checkpoint_uri == f"models:/{model.model_id}"


def test_a_run_scores_on_its_own_test_tiles_what_its_training_found(run: tuple[Path, str]) -> None:
    folder, uri = run
    result = json.loads((folder / "result.json").read_text())
    for address in (str(folder), result["run_id"]):
        asked = evaluation(f"run={address}", f"tracking.uri={uri}")
        runs = load_runs(asked)
        counts = {one.name: np.zeros(4, int) for one in runs}
        for chunk in SavedTiles(runs, tuple(shared_keys(runs, "test")), 1000.0, "cpu").chunks():
            snow, bare = chunk.snow == 1, chunk.snow == 0
            for name, share in chunk.share.items():
                said = share == 1
                counts[name] += [
                    np.count_nonzero(cell) for cell in (snow & said, bare & said, snow & ~said, bare & ~said)
                ]
        assert [one.kind for one in runs] == ["network", "forest", "brightness"]
        for one in runs:
            found, before = scores(Counts(*counts[one.name].tolist())), "" if one.kind == "network" else f"{one.kind}_"
            # Training counts brightness in bins, on whose edges a pixel may fall either way.
            near = 1e-3 if one.kind == "brightness" else 1e-9
            assert found == {name: pytest.approx(result["test"][f"{before}{name}"], abs=near) for name in found}


def test_a_checkpoint_and_a_run_in_s3_are_found(run: tuple[Path, str], s3: Bucket) -> None:
    s3.put("runs/a/checkpoints/best.ckpt", (run[0] / "checkpoints/best.ckpt").read_bytes())
    here = load_trained_model(str(run[0]), NOTHING)
    for address in (f"{s3.uri}/runs/a/checkpoints/best.ckpt", f"{s3.uri}/runs/a"):
        found = load_trained_model(address, NOTHING)
        assert found.checkpoint_uri == f"{s3.uri}/runs/a/checkpoints/best.ckpt"
        assert found.checkpoint_sha256 == here.checkpoint_sha256
    with pytest.raises(NoModel, match=r"runs/b holds no best\.ckpt"):
        load_trained_model(f"{s3.uri}/runs/b", NOTHING)


def test_an_older_checkpoint_takes_its_grid_from_the_manifest_or_from_the_user(
    run: tuple[Path, str], tmp_path: Path
) -> None:
    old = checkpoints.load(str(run[0] / "checkpoints/best.ckpt"))
    for name in ("zoom", "tile_size", "commit"):
        del old["snowcover"][name]
    path = tmp_path / "run/checkpoints/best.ckpt"
    checkpoints.save(old, path)
    with pytest.raises(UnknownModelFact) as error:
        load_trained_model(str(path), NOTHING)
    assert str(error.value) == (
        f"{path} does not say which zoom and tile size it was trained with: give zoom=15; tile_size=512."
    )
    given = load_trained_model(str(path), ModelOverrides(zoom=14, tile_size=256))
    assert (given.zoom, given.tile_size) == (14, 256)
    shutil.copy(run[0] / "manifest.csv", tmp_path / "run/manifest.csv")
    found = load_trained_model(str(path), NOTHING)
    assert (found.zoom, found.tile_size, found.commit) == (15, 64, None)


def pinks(classes: int = 1, **changed: torch.Tensor) -> tuple[TernausV2, dict]:
    torch.manual_seed(classes)
    network = TernausV2("resnet50", 4, classes, 2).eval()
    state = {f"module.{name}": value for name, value in {**network.state_dict(), **changed}.items()}
    return network, {"epoch": 50, "state_dict": state, "optimizer": {}}


def test_robosat_pinks_checkpoint_needs_to_be_given_what_it_does_not_say(tmp_path: Path) -> None:
    network, saved = pinks()
    path = tmp_path / "checkpoint-00050-of-00050.pth"
    torch.save(saved, path)
    with pytest.raises(UnknownModelFact, match=r"which bands and mean and std and zoom it was.*zoom=15\."):
        load_trained_model(str(path), NOTHING)
    model = load_trained_model(str(path), PINK)
    assert (model.tile_size, model.scale, model.run_id, model.config_digest) == (512, 1e-4, None, None)
    tile = torch.randint(1, 8000, (1, 4, 64, 64))
    with torch.no_grad():
        assert torch.allclose(model.mapper.network(tile / 1e4), network(tile / 1e4))
    with pytest.raises(BadCheckpoint, match="takes 4 bands, and bands names 3"):
        load_trained_model(str(path), replace(PINK, bands=BANDS[:3], mean=PINK.mean[:3], std=PINK.std[:3]))
    with pytest.raises(WrongModelFact, match="mean has 4 values for the 3 bands"):
        load_trained_model(str(path), replace(PINK, bands=BANDS[:3]))


def test_two_classes_are_made_one_and_three_refused(tmp_path: Path) -> None:
    network, saved = pinks(2)
    torch.save(saved, tmp_path / "two.pth")
    model = load_trained_model(str(tmp_path / "two.pth"), PINK)
    tile = torch.rand(1, 4, 64, 64)
    with torch.no_grad():
        assert torch.allclose(model.mapper.network(tile).sigmoid()[:, 0], network(tile).softmax(1)[:, 1], atol=1e-5)
    torch.save(pinks(3)[1], tmp_path / "three.pth")
    with pytest.raises(BadCheckpoint, match="has 3 classes"):
        load_trained_model(str(tmp_path / "three.pth"), PINK)


@pytest.mark.parametrize("address", ["nowhere", "a" * 32, "models:/m-" + "0" * 32, "models:/snow/1"])
def test_an_address_of_nothing_ends_in_one_message(
    address: str, run: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=address) as error:
        load_trained_model(address, NOTHING, run[1])
    assert "\n" not in str(error.value)
    if address != "nowhere":
        with pytest.raises(UserError, match=r"cannot be looked up: there is no .*other\.db"):
            load_trained_model(address, NOTHING, "sqlite:///other.db")
        assert not Path("other.db").exists()


class Payload:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("harmed"),)


def test_a_pickled_network_is_read_and_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from snowcover.models.weights import pickled_weights

    monkeypatch.chdir(tmp_path)
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 1, 1))
    network.payload = Payload()  # type: ignore[assignment]
    torch.save(network, "model.pth")
    weights = pickled_weights(Path("model.pth"))
    assert np.array_equal(weights["0.weight"], network[0].weight.detach())
    assert not Path("harmed").exists()
