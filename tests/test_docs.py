"""README and docs: each command composes, each key and each place is there, and the site builds."""

import importlib.util
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from selenium import webdriver
from selenium.webdriver.common.by import By

from snowcover.cli import dotted_keys
from snowcover.config_root import config_root
from tests.starting import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = {"train": "config", "prepare": "prepare", "predict": "predict", "evaluate": "evaluate"}
HOOK = runpy.run_path(str(ROOT / "docs/config_reference.py"))
FILE = re.compile(r"\.(py|ya?ml|csv|png|json|html|tif|txt|md|db|ckpt|npz|msk|geojson|toml)$")


def _blocks(text: str) -> Iterator[str]:
    """Code between fences, and code that is indented."""
    yield from re.findall(r"^```\w*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    yield "\n".join(line.strip() for line in text.splitlines() if line.startswith("    "))


def _commands() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for block in _blocks(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("python -m snowcover."):
                    _, _, module, *words = shlex.split(line, comments=True)
                    yield module, words


COMMANDS = [*_commands()]


def test_the_docs_show_commands() -> None:
    assert {f"snowcover.{name}" for name in CONFIGS} <= {module for module, _ in COMMANDS}
    assert len(COMMANDS) > 30


@pytest.mark.parametrize(("module", "words"), COMMANDS, ids=lambda given: str(given)[:80])
def test_a_command_composes(module: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.util.find_spec(module) is not None
    name = CONFIGS.get(module.removeprefix("snowcover."))
    if name is None:
        return
    overrides = [_first_of_sweep(word) for word in words if "=" in word and not word.startswith("hydra")]
    with hydra.initialize_config_dir(str(config_root(name)), version_base="1.3"):
        assert hydra.compose(name, overrides)


def _first_of_sweep(word: str) -> str:
    (override,) = OverridesParser.create().parse_overrides([word])
    if not override.is_sweep_override():
        return word
    if override.is_interval_sweep():
        return f"{override.key_or_group}={override.value().start}"
    return f"{override.key_or_group}={next(override.sweep_string_iterator())}"


def _known_keys() -> set[str]:
    known: set[str] = set()
    encoders = ("config", ["model=unet"])  # whose keys the default network has not
    for name, overrides in [*((name, []) for name in CONFIGS.values()), encoders]:
        with hydra.initialize_config_dir(str(config_root(name)), version_base="1.3"):
            composed = OmegaConf.to_container(hydra.compose(name, overrides), resolve=False)
        known |= set(dotted_keys(composed))
    return known | {key for key, _, _ in _reference()}


def _reference() -> list[tuple[str, str, str]]:
    """Key, default and meaning of each row."""
    text = HOOK["on_page_markdown"](HOOK["MARK"])
    return re.findall(r"^\| `([^`]+)` \| (.*?) \| (.*) \|$", text, flags=re.MULTILINE)


def test_each_key_that_the_docs_name_is_there() -> None:
    known = _known_keys()
    unknown = {
        f"{page.name}: {key}"
        for page in PAGES
        for key in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:=[^`]*)?`", page.read_text())
        if key not in known and not FILE.search(key)
    }
    assert not unknown


def test_each_key_of_ours_says_what_it_means() -> None:
    rows = _reference()
    assert len(rows) > 150
    assert not [key for key, default, meaning in rows if not default or not meaning]


def test_each_place_that_the_readme_names_is_there() -> None:
    places = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / "README.md").read_text())
    assert places
    assert not [place for place in places if not (ROOT / place).exists()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; whatever MkDocs warns of, such as a link to nowhere, fails."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder], cwd=ROOT, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_is_looked_at(site: Path, browser: webdriver.Chrome, tmp_path: Path) -> None:
    browser.get((site / "reference/index.html").as_uri())
    assert "Config reference" in browser.title
    assert len(browser.find_elements(By.CSS_SELECTOR, "table tr")) > 150
    browser.save_screenshot(str(tmp_path / "reference.png"))
    browser.get((site / "index.html").as_uri())
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("Quickstart")
    assert [entry.get_attribute("href") for entry in browser.find_elements(By.CSS_SELECTOR, "nav a[href*=cloud]")]
    assert not re.findall(r'(?:src=|rel="stylesheet" href=)"https?:', browser.page_source)  # nothing from elsewhere
