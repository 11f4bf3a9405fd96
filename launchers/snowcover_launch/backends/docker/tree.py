"""/opt/ml of a job on this machine: created with SageMaker's layout, and read afterwards."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from snowcover.paths import layers_to_read, weights_file
from snowcover_launch.results import BEST, LAST, STORE, parse_result


def lay_out(ml: Path, values: Mapping[str, Any]) -> None:
    """Create /opt/ml for a single-machine job with this staged config."""
    files = {
        "input/data/config/config.yaml": yaml.safe_dump(values, sort_keys=False),
        "input/config/hyperparameters.json": "{}",
        "input/config/resourceconfig.json": json.dumps(
            {"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}
        ),
        "input/config/inputdataconfig.json": json.dumps({"config": {"TrainingInputMode": "File"}}),
    }
    for path, text in files.items():
        (ml / path).parent.mkdir(parents=True, exist_ok=True)
        (ml / path).write_text(text)
    for path in ("model", "output/data", "checkpoints"):
        (ml / path).mkdir(parents=True, exist_ok=True)


def with_absolute_paths(values: dict[str, Any]) -> tuple[dict[str, Any], set[Path]]:
    """A staged config with absolute paths, and the folders that the container must be able to read."""
    folders: set[Path] = set()

    def absolute(place: str | None) -> str | None:
        if place is None or place.startswith("s3://"):
            return place
        path = os.path.abspath(os.path.expanduser(place))
        folders.add(Path(re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0] or "/"))
        return path

    data, checkpoint = values["data"], values["checkpoint"]
    data["manifest"] = absolute(data["manifest"])
    for key in ("init_from", "resume"):
        checkpoint[key] = absolute(checkpoint[key])
    if weights_file(values["model"]):
        values["model"]["encoder_weights"] = absolute(values["model"]["encoder_weights"])
    if not data["generate"]:  # generated tiles are created in the container
        for source in data["sources"]:
            scenes = [source["scenes"]] if isinstance(source["scenes"], str) else source["scenes"]
            source["scenes"], source["collect"] = [absolute(scene) for scene in scenes], absolute(source["collect"])
    for name, place in layers_to_read(data.get("layers") or {}, data["manifest"], data["generate"]).items():
        data["layers"][name] = absolute(place)
    return values, folders


def result(ml: Path) -> Mapping[str, Any] | None:
    """The result of a completed job; None for any other."""
    try:
        return parse_result((ml / "output/data/result.json").read_bytes())
    except OSError:
        return None


def failure(ml: Path) -> str | None:
    """The failure reason that a job wrote; None if it wrote none."""
    try:
        return (ml / "output/failure").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeError):
        return None


def copy_results(ml: Path, new: Path, store: bool) -> None:
    """Copy the results of a job, or those so far, into the user's layout: `model`, `output`, and
    `checkpoints` if the job can be resumed.

    Args:
        store: whether to include its own MLflow store.
    """
    without_store = None if store else shutil.ignore_patterns(STORE)
    shutil.copytree(ml / "model", new / "model")
    shutil.copytree(ml / "output/data", new / "output", ignore=without_store)
    best, last = ml / "checkpoints" / BEST, ml / "checkpoints" / LAST
    if best.is_file() and not (new / "model" / BEST).is_file():
        shutil.copy2(best, new / "model")
    if last.is_file():  # else the run is complete; its best checkpoint is in `model`
        (new / "checkpoints").mkdir()
        for path in (best, last):
            if path.is_file():
                shutil.copy2(path, new / "checkpoints")
