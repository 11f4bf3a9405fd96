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
OF_SNOWCOVER = {  # what the launcher may import when it is imported; in functions it tries parts and imports runs
    "snowcover", "addresses", "before_training", "checking", "checking_first", "checkout", "command", "config",
    "config_root", "errors", "identity", "nested", "overrides", "paths", "secrets", "staged", "terminal", "writable",
    "yaml_texts",
}  # fmt: skip


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Those that run when the module is imported, types aside."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of ours that a module imports when it is imported."""
    found = set()
    for node in _statements(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{name.name}" for name in node.names}
            found |= names if names <= MODULES.keys() else names | {node.module}
    return frozenset((found & MODULES.keys()) - {module})


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
