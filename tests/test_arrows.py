"""The arrows of ARCHITECTURE.md, held by reading the imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): path
    for base, package in ((ROOT, "snowcover"), (ROOT / "launchers", "snowcover_launch"))
    for path in (base / package).rglob("*.py")
}
PLUGIN = {"hydra_plugins.snowcover_launcher": ROOT / "launchers/hydra_plugins/snowcover_launcher.py"}
CONTAINER = {f"container.{path.stem}": path for path in [*(ROOT / "container").glob("*.py"), ROOT / "container/train"]}
EVERYWHERE = MODULES | PLUGIN | CONTAINER

LAUNCHER = ["snowcover_launch", "hydra_plugins"]
COMMANDS = ["arguments", "cli", "components", "config_root", "out_command", "overrides", "preflight",
            "secret_arguments", "staged", "train", "validation", "validation_callback", "writable",
            "yaml_texts"]  # fmt: skip
NETWORKS = ["baselines", "checkpoints", "compat", "component_checks", "data.loader", "data.transforms",
            "encoder_weights", "evaluate.saved_tiles", "finite", "losses", "machine", "models", "network", "predict",
            "robosat_pink", "run_metadata", "scoring", "tracking.models", "trained_model",
            "training"]  # fmt: skip
SAGEMAKER = "SageMaker is the launcher's business, and there that of one folder"
FOREIGN: dict[str, tuple[str, list[str]]] = {  # package -> why only these may import it, in functions too; rooms' names
    "boto3": (SAGEMAKER, ["snowcover_launch.aws"]),
    "sagemaker": (SAGEMAKER, ["snowcover_launch.aws"]),
    "botocore": ("credentials for S3 come by AWS's own chain", ["snowcover_launch.aws", "storage"]),
    "obstore": ("S3 is read and written in one place", ["storage"]),
    "mlflow": ("MLflow may be away: only tracking knows how to go on without it", ["tracking"]),
    "hydra": ("what works on a config gets it checked", [*LAUNCHER, *COMMANDS]),
    "omegaconf": ("what works on a config gets it checked", [*LAUNCHER, *COMMANDS]),
    "torch": ("commands, launcher, tiles and statistics start without it", [*NETWORKS, "container.torchrun"]),
    "torchvision": ("its API changes: one file knows both", ["compat"]),
    "lightning": ("its hooks are where a run is", ["checkpoints", "machine", "training"]),
    "rasterio": ("rasters are read by who knows what is observed", ["data", "prepare", "predict", "evaluate"]),
    "cv2": ("the extra `prepare` has it; training does without", ["prepare", "predict", "evaluate"]),
    "pystac": ("the extra `predict` has it", ["predict.stac"]),
    "sklearn": ("fits forests, which map without it", ["baselines.forest"]),
    "segmentation_models_pytorch": ("networks", ["encoder_weights", "models", "network"]),
    "matplotlib": ("pictures", ["evaluate.figures", "training.plots", "predict.preview", "prepare.preview"]),
    "rich": ("the extra `launch` has it", ["snowcover_launch.progress"]),
}
HEAVY = {"torch", "lightning", "mlflow", "rasterio", "boto3", "botocore", "sagemaker", "obstore", "cv2", "matplotlib"}
LIGHT = ["config", "train", "staged", "prepare.__main__", "prepare.config", "predict.__main__",
         "evaluate.__main__", "jobs", "image", "algorithm"]  # fmt: skip
ROOMS: dict[str, set[str]] = {  # what of snowcover a room may import, in functions too, beside errors
    "errors": set(),
    "labels": set(),
    "storage": {"aws_error_codes"},
    "models": {"compat"},
    "losses": {"labels"},
    "scoring": {"labels"},
    "epoch_line": {"scoring"},
    "run_metadata": {"checkpoints", "data"},
    "data": {
        "baselines",
        "compat",
        "components",
        "config",
        "labels",
        "paths",
        "storage",
        "validation",
    },  # baselines.sample; demo.py
    "sensors": set(),
    "prepare": {"cli", "data", "labels", "out_command", "paths", "sensors", "storage", "validation"},
    "tracking": {"baselines", "checkpoints", "compat", "data", "models", "run_metadata", "secrets", "tracking_uri"},
    "convert": {"cli", "sensors", "storage"},
}
KNOW_THE_LAUNCHER = {"algorithm", "image", "jobs", "train"}  # commands that hand over to it, and what is text there
OF_SNOWCOVER = {  # what the launcher may import when it is imported; in functions it tries parts and imports runs
    "snowcover", "aws_error_codes", "cli", "config", "config_root", "epoch_line", "errors", "identity", "nested",
    "overrides", "paths", "preflight", "provenance", "scoring", "secrets", "signals", "staged", "terminal",
    "tracking_uri", "validation", "validation_callback", "writable", "yaml_texts",
}  # fmt: skip


def _nodes(tree: ast.AST, in_functions: bool) -> Iterator[ast.AST]:
    """Those that run when the module is imported, with functions' own or without, types aside."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if in_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _nodes(node, in_functions)


@cache
def _named(module: str, in_functions: bool) -> frozenset[tuple[str, str]]:
    """(module, name or "") of all that a module imports."""
    found: set[tuple[str, str]] = set()
    for node in _nodes(ast.parse(EVERYWHERE[module].read_text()), in_functions):
        if isinstance(node, ast.Import):
            found |= {(name.name, "") for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{module}: imports are absolute"
            found |= {(node.module, name.name) for name in node.names}
    return frozenset(found)


@cache
def imports(module: str, in_functions: bool = False) -> frozenset[str]:
    """Modules of ours that a module imports: a package itself only for what is no module in it."""
    names = _named(module, in_functions)
    found = {f"{origin}.{name}" if f"{origin}.{name}" in MODULES else origin for origin, name in names}
    return frozenset((found & MODULES.keys()) - {module})


def packages(module: str, in_functions: bool) -> set[str]:
    return {origin.split(".")[0] for origin, _ in _named(module, in_functions)}


def is_in(module: str, rooms: list[str]) -> bool:
    own = module.removeprefix("snowcover.")
    return any(own == room or own.startswith(f"{room}.") for room in rooms)


def _with_packages(module: str) -> Iterator[str]:
    """The module and the packages around it, which Python imports first."""
    parts = module.split(".")
    yield from (name for n in range(len(parts)) if (name := ".".join(parts[: n + 1])) in EVERYWHERE)


def reached(module: str) -> dict[str, str]:
    """All modules that are imported with this one, each with the path there."""
    found: dict[str, str] = {}
    waiting = [(name, name) for name in _with_packages(module)]
    while waiting:
        name, path = waiting.pop()
        if name not in found:
            found[name] = path
            waiting += [(one, f"{path} -> {one}") for other in imports(name) for one in _with_packages(other)]
    return found


def test_no_module_imports_itself_by_way_of_others() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in sorted(imports(module)):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(MODULES):
        visit(module, ())


@pytest.mark.parametrize("package", sorted(FOREIGN))
def test_a_package_is_imported_where_its_arrow_points(package: str) -> None:
    reason, rooms = FOREIGN[package]
    importers = {module for module in EVERYWHERE if package in packages(module, in_functions=True)}
    assert not {module for module in importers if not is_in(module, rooms)}, f"{package}: {reason}"
    idle = [room for room in rooms if not any(is_in(module, [room]) for module in importers)]
    assert not idle or package in ("hydra", "omegaconf"), f"rooms that do not need {package} any more: {idle}"


@pytest.mark.parametrize("module", [*(f"snowcover.{name}" for name in LIGHT), *PLUGIN, "snowcover_launch.config"])
def test_what_starts_a_command_imports_nothing_heavy(module: str) -> None:
    heavy = {path: found for name, path in reached(module).items() if (found := HEAVY & packages(name, False))}
    assert not heavy


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_of_ours_what_it_may(room: str) -> None:
    inside = [module for module in MODULES if is_in(module, [room]) and module.startswith("snowcover.")]
    assert inside
    for module in inside:
        own = {name.split(".")[1] for name in imports(module, True) if name.startswith("snowcover.")}
        assert own - {room, "errors"} <= ROOMS[room], module


def test_training_knows_the_launcher_only_where_it_hands_over() -> None:
    own = [module for module in MODULES if module.split(".")[0] == "snowcover"]
    know = {module for module in own if {"snowcover_launch", "hydra_plugins"} & packages(module, in_functions=True)}
    assert know == {f"snowcover.{name}" for name in KNOW_THE_LAUNCHER}


@pytest.mark.parametrize("module", sorted(name for name in MODULES if name.startswith("snowcover_launch")))
def test_the_launcher_imports_of_snowcover_what_is_light_and_its_own(module: str) -> None:
    own = {name for name in imports(module) if name.split(".")[0] == "snowcover"}
    assert {name.split(".")[1] if "." in name else name for name in own} <= OF_SNOWCOVER


@pytest.mark.parametrize("module", ["sweep", "runner", "poller", "plan", "preflight", "progress", "job", "jobs_file",
                                    "tracked_job", "spending", "parent_runs", "cli.jobs"])  # fmt: skip
def test_what_runs_a_sweep_knows_no_backend_but_by_its_protocol(module: str) -> None:
    known = imports(f"snowcover_launch.{module}")
    of_backends = {name for name in known if name.startswith(("snowcover_launch.backends.", "snowcover_launch.aws"))}
    assert of_backends <= {"snowcover_launch.backends.base", "snowcover_launch.backends.base.Backend"}
