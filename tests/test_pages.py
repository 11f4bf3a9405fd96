"""MLflow's pages of a run, in a real browser."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from selenium import webdriver
from selenium.webdriver.common.by import By

from snowcover.training.run import fit
from tests.browsing import mlflow_server, shows, until
from tests.making import TINY_UNET, config, sources

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def store(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with one finished run in its mlflow.db."""
    folder = tmp_path_factory.mktemp("pages")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    small = (*TINY_UNET, "trainer.max_epochs=3", "trainer.batch_size=6", "hw=cpu")
    fit(config("data=tiles", sources(site), *small), folder / "run", ["optimizer.lr=1e-3"])
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def pages(store: Path) -> Iterator[str]:
    with mlflow_server(store) as address:
        yield address


def test_the_run_is_found_with_its_scores_curves_and_pictures(
    store: Path, pages: str, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("snowcover").experiment_id
    (run,) = client.search_runs([experiment])
    own = f"{pages}/#/experiments/{experiment}/runs"

    browser.get(own)
    shows(browser, "unet-tu-test_resnet optimizer.lr=1e-3", "ASO_20180528")
    browser.save_screenshot(str(tmp_path / "runs.png"))

    browser.get(f"{own}/{run.info.run_id}")
    shows(browser, "Finished", "test_iou", "trainer.max_epochs")
    browser.save_screenshot(str(tmp_path / "run.png"))

    browser.get(f"{own}/{run.info.run_id}/model-metrics")
    shows(browser, "Model metrics", "(loss)")
    browser.find_element(By.CSS_SELECTOR, "input[placeholder='Search metric charts']").send_keys("val_iou")
    shows(browser, "(val_iou)")
    time.sleep(2)  # for the curves to be drawn before the picture is taken; nothing is asserted of it
    browser.save_screenshot(str(tmp_path / "curves.png"))

    browser.get(f"{own}/{run.info.run_id}/artifacts/pictures/tiles.png")
    shows(browser, "tiles.png")
    until(lambda: any(image.size["width"] > 300 for image in browser.find_elements(By.TAG_NAME, "img")))
    browser.save_screenshot(str(tmp_path / "tiles.png"))
