"""/opt/ml of a job on this machine: laid out as SageMaker lays it out, and what is left in it afterwards."""

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
    """/opt/ml for one machine, around a staged config."""
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


def at_absolute_paths(values: dict[str, Any]) -> tuple[dict[str, Any], set[Path]]:
    """A staged config with this machine's paths written out, and the folders to let the container read."""
    places: set[Path] = set()

    def absolute(place: str | None) -> str | None:
        if place is None or place.startswith("s3://"):
            return place
        path = os.path.abspath(os.path.expanduser(place))
        places.add(Path(re.split(r"[*?\[]", path, maxsplit=1)[0].rpartition("/")[0] or "/"))
        return path

    data, checkpoint = values["data"], values["checkpoint"]
    data["manifest"] = absolute(data["manifest"])
    for key in ("init_from", "resume"):
        checkpoint[key] = absolute(checkpoint[key])
    if weights_file(values["model"]):
        values["model"]["encoder_weights"] = absolute(values["model"]["encoder_weights"])
    if not data["generate"]:  # generated tiles are made in the container
        for source in data["sources"]:
            scenes = [source["scenes"]] if isinstance(source["scenes"], str) else source["scenes"]
            source["scenes"], source["collect"] = [absolute(scene) for scene in scenes], absolute(source["collect"])
    for name, place in layers_to_read(data.get("layers") or {}, data["manifest"], data["generate"]).items():
        data["layers"][name] = absolute(place)
    return values, places


def result(ml: Path) -> Mapping[str, Any] | None:
    """Of a job that has completed; None of any other."""
    try:
        return parse_result((ml / "output/data/result.json").read_bytes())
    except OSError:
        return None


def failure(ml: Path) -> str | None:
    """Why a job failed, in its own words."""
    try:
        return (ml / "output/failure").read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeError):
        return None


def copy_results(ml: Path, new: Path, store: bool) -> None:
    """Copy what a job has left, or has so far, as the user will have it: `model`, `output`, and of a job that can go on
    `checkpoints`.

    Args:
        store: with its own MLflow store.
    """
    without_store = None if store else shutil.ignore_patterns(STORE)
    shutil.copytree(ml / "model", new / "model")
    shutil.copytree(ml / "output/data", new / "output", ignore=without_store)
    best, last = ml / "checkpoints" / BEST, ml / "checkpoints" / LAST
    if best.is_file() and not (new / "model" / BEST).is_file():
        shutil.copy2(best, new / "model")
    if last.is_file():  # else the run is complete, and its best one is in `model`
        (new / "checkpoints").mkdir()
        for path in (best, last):
            if path.is_file():
                shutil.copy2(path, new / "checkpoints")
