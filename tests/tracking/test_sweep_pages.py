"""A sweep on MLflow's pages, in a real browser."""

import json
import math
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow import MlflowClient
from selenium import webdriver
from selenium.webdriver.common.by import By

from snowcover.tracking import close_sweep, import_run, note, open_sweep, recorded
from tests.browsing import mlflow_server, shows, text_of
from tests.tracking.conftest import Left

RATES = ("1e-3", "3e-5")
EXPANDER = (
    "[role=gridcell] button[data-component-id*=runnamecellrenderer]"  # the plus before a run with others under it
)


def child(uri: str, parent: str, rate: str, speed: float) -> str:
    tags = {"mlflow.parentRunId": parent, "sweep.optimizer.lr": rate}
    with recorded(uri, "snow", f"unet optimizer.lr={rate}", False, tags=tags) as recorder:
        recorder.params({"optimizer.lr": rate, "trainer.max_epochs": 12, "model._target_": "Unet"})
        rows = [(epoch, 1 - math.exp(-speed * (epoch + 1))) for epoch in range(12)]
        recorder.metrics([(epoch, {"val_iou": score, "train_loss": 1 - score}) for epoch, score in rows])
    return recorder.run_id


@pytest.fixture
def sweep(home: str, left: Left) -> tuple[str, list[str], str]:
    """Two runs of this machine and one that came home, under one parent."""
    parent = open_sweep(home, "snow", "sweep of optimizer.lr", {"sweep": "2026-11-24"})
    children = [child(home, parent, rate, speed) for rate, speed in zip(RATES, (0.4, 0.1), strict=True)]
    brought = import_run(left.folder, home, "snow", {"mlflow.parentRunId": parent, "mlflow.runName": "unet from a job"})
    note(home, brought, {"job.console": "https://us-west-2.console.aws.amazon.com/"}, {"job_cost_usd": 0.25})
    close_sweep(home, parent, "FINISHED", {"best_val_iou": 0.99})
    return parent, children, brought


def test_a_sweep_has_its_runs_under_it_and_they_compare(
    sweep: tuple[str, list[str], str], home: str, browser: webdriver.Chrome, tmp_path: Path
) -> None:
    parent, children, brought = sweep
    experiment = MlflowClient(home).get_run(parent).info.experiment_id
    with mlflow_server(Path.cwd()) as pages:
        browser.get(f"{pages}/#/experiments/{experiment}/runs")
        shows(browser, "sweep of optimizer.lr")
        assert not any(f"optimizer.lr={rate}" in text_of(browser) for rate in RATES)
        browser.find_element(By.CSS_SELECTOR, EXPANDER).click()
        shows(browser, *(f"unet optimizer.lr={rate}" for rate in RATES), "unet from a job", "4 matching runs")
        browser.save_screenshot(str(tmp_path / "sweep.png"))

        browser.get(f"{pages}/#/experiments/{experiment}/runs/{parent}")
        shows(browser, "Child runs", *(f"unet optimizer.lr={rate}" for rate in RATES), "unet from a job")
        browser.save_screenshot(str(tmp_path / "parent.png"))

        both = quote(json.dumps(children))
        browser.get(f"{pages}/#/compare-runs?runs={both}&experiments={quote(json.dumps([experiment]))}")
        shows(browser, "Comparing 2 Runs", "optimizer.lr", *RATES)
        browser.save_screenshot(str(tmp_path / "compare.png"))

        browser.get(f"{pages}/#/experiments/{experiment}/runs/{brought}")
        shows(browser, "job_cost_usd", "job.console", "ASO_20180528", "Finished")
        browser.save_screenshot(str(tmp_path / "brought.png"))
