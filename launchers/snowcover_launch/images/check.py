"""Checks an image, and trains in it without network access, before anybody pays for a job in it."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra

from snowcover import __version__
from snowcover.config_root import conf_dir
from snowcover.errors import UserError
from snowcover.secrets import holds_secret, is_secret_value
from snowcover.validation import check
from snowcover_launch.backends.docker.container import own_user
from snowcover_launch.backends.docker.tree import lay_out
from snowcover_launch.backends.sagemaker.request import OWN_STORE
from snowcover_launch.config import JobConfig
from snowcover_launch.images import engine
from snowcover_launch.images.build import pip_settings
from snowcover_launch.images.labels import CODE, COMMIT, VARIANT, VERSION
from snowcover_launch.images.variants import VARIANTS, compiled_for

TINY = (
    "hw=cpu", "model=unet", "model.encoder_name=resnet18", "trainer.max_epochs=1", "tracking.system_metrics=false",
    f"tracking.uri={OWN_STORE}", "+data.generate.tiles_per_side=4", "+data.generate.tile_size=64",
)  # fmt: skip
EXPECTED_FILES = ("model/best.ckpt", "model/manifest.csv", "model/config.yaml", "output/data/result.json",
        "output/data/mlflow/mlflow.db")  # fmt: skip


# What torch.cuda.get_arch_list() returns, but also without a GPU; empty for a torch without CUDA.
FLAGS = "import torch; print(getattr(torch._C, '_cuda_getArchFlags', str)() or '')"


class BrokenImage(UserError):
    """The image is not what it should be."""


def try_image(image: str, revision: str, code: str, variant: str) -> Iterator[str]:
    """Check an image; yields a line for each check that passes.

    Raises:
        BrokenImage: the first check that fails.
    """
    (info,) = json.loads(engine.docker_output("image", "inspect", image))
    yield f"{info['Size'] / 1e9:.2f} GB"
    expected = {VERSION: __version__, COMMIT: revision, CODE: code, VARIANT: variant}
    _check_labels(image, info["Config"].get("Labels") or {}, expected)
    yield f"labels: {__version__}, {revision}, {variant}"
    _refuse_secrets(image, info["Config"].get("Env") or [])
    yield "no secret and no registry address in its environment and history"
    yield _run_python(image, "-m", "pip", "check").strip()
    flags = _run_python(image, "-c", FLAGS)
    refuse_other_gpus(image, variant, flags)
    yield f"its torch is compiled for the GPUs of {variant}: {flags.strip()}"
    objective = _train_tiny_job(image)
    yield f"trained without a network: val_iou {objective:.3f}, with model, output and MLflow store where they belong"


def _check_labels(image: str, labels: Mapping[str, str], expected: Mapping[str, str]) -> None:
    for name, value in expected.items():
        if labels.get(name) != value:
            raise BrokenImage(f"{image}: the label {name} is {labels.get(name)} and should be {value}: build it again.")


def refuse_other_gpus(image: str, variant: str, flags: str) -> None:
    """Raises: BrokenImage: torch is not compiled for all GPUs that jobs of this variant may run on."""
    missing = set(VARIANTS[variant].compute_capabilities) - set(compiled_for(flags))
    if missing:
        raise BrokenImage(
            f"{image}: its torch is compiled for {flags.strip() or 'no GPU'}, and {variant} jobs also need "
            f"{', '.join(f'sm_{major}{minor}' for major, minor in sorted(missing))}: correct images/variants.py."
        )


def _refuse_secrets(image: str, environment: list[str]) -> None:
    history = engine.docker_output("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    for variable in environment:
        name, _, value = variable.partition("=")
        if is_secret_value(name, value):
            raise BrokenImage(f"{image} has the variable {name}, which looks like a secret.")
    for text in (history, *environment):
        if holds_secret(text) or any(value in text for value in pip_settings().values()):
            raise BrokenImage(f"{image} holds the address of a package registry in its history or environment.")


def _run_python(image: str, *arguments: str) -> str:
    return engine.docker_output("run", "--rm", "--network", "none", "--entrypoint", "python", image, *arguments)


def _train_tiny_job(image: str) -> float:
    """Train a tiny job on demo tiles; returns its objective."""
    with tempfile.TemporaryDirectory(prefix="snowcover-", ignore_cleanup_errors=True) as folder:
        ml = Path(folder) / "ml"
        lay_out(ml, _tiny_config())
        try:
            engine.docker_output(
                "run", "--rm", "--network", "none", *own_user(), "--volume", f"{ml}:/opt/ml", image, "train"
            )  # fmt: skip
        except engine.DockerFailed as error:
            failure = ml / "output" / "failure"
            reason = failure.read_text() if failure.is_file() else str(error)
            raise BrokenImage(f"{image} does not train: {reason}") from error
        if missing := [path for path in EXPECTED_FILES if not (ml / path).is_file()]:
            raise BrokenImage(f"{image} trained but did not write {', '.join(missing)} in /opt/ml.")
        return float(json.loads((ml / "output/data/result.json").read_text())["objective"])


def _tiny_config() -> dict[str, Any]:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = check(JobConfig, hydra.compose("config", overrides=list(TINY)))
    job: dict[str, Any] = {"version": __version__, "name": "try", "result": None, "overrides": []}
    return config.model_dump(exclude={"aws", "launch"}) | {"job": job}
