"""MLflow's pages of a run, in a real browser."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from snowcover.training import fit
from tests.making import config, sources

BROWSER = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--window-size=1600,1300",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with one finished run in its mlflow.db."""
    folder = tmp_path_factory.mktemp("pages")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    small = ("model=unet", "model.encoder_name=resnet18", "trainer.max_epochs=3", "trainer.batch_size=6", "hw=cpu")
    fit(config("data=tiles", sources(site), *small), folder / "run", ["optimizer.lr=1e-3"])
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def pages(store: Path) -> Iterator[str]:
    """The address of `mlflow ui` over that store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["mlflow", "ui", "--port", str(port), "--workers", "1", "--backend-store-uri"]
    with (store / "ui.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, f"sqlite:///{store}/mlflow.db"], cwd=store, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: urllib.request.urlopen(f"{address}/health", timeout=2).status == 200)
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for argument in BROWSER:
        options.add_argument(argument)
    driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def _until(true: Callable[[], bool], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except OSError:
            pass
        assert time.monotonic() < end, "the page did not come"
        time.sleep(0.3)


def shows(browser: webdriver.Chrome, *texts: str) -> None:
    def there() -> bool:
        text = browser.find_element(By.TAG_NAME, "body").text
        return all(wanted in text for wanted in texts)

    try:
        _until(there)
    except AssertionError as error:
        text = browser.find_element(By.TAG_NAME, "body").text
        raise AssertionError(f"of {texts} the page shows: {text}") from error


def test_the_run_is_found_with_its_scores_curves_and_pictures(
    store: Path, pages: str, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    experiment = client.get_experiment_by_name("snowcover").experiment_id
    (run,) = client.search_runs([experiment])
    own = f"{pages}/#/experiments/{experiment}/runs"

    browser.get(own)
    shows(browser, "unet-resnet18 optimizer.lr=1e-3", "ASO_20180528")
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
    _until(lambda: any(image.size["width"] > 300 for image in browser.find_elements(By.TAG_NAME, "img")))
    browser.save_screenshot(str(tmp_path / "tiles.png"))
