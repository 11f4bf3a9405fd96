"""`python -m snowcover.convert OLD.toml`: converts a training config of the old system to an experiment."""

import argparse
import re
import tomllib
from pathlib import Path

import yaml

from snowcover import storage
from snowcover.cli import cli_error_handler
from snowcover.convert.experiment import Experiment, NotAnOldConfig, experiment_of
from snowcover.errors import UserError, first_line

GROUP = "experiment"


class ExperimentExists(UserError):
    """The experiment's file exists with other content."""


def convert(old: Path, folder: Path) -> tuple[Path, Experiment]:
    """Write the experiment of an old config into a folder of experiments.

    Returns:
        Its file, named after the old one, and its content.

    Raises:
        NotAnOldConfig, ExperimentExists, StorageError
    """
    try:
        with old.open("rb") as file:
            values = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else first_line(error)
        raise NotAnOldConfig(f"{old} cannot be read as TOML ({why}): give the old training config.") from error
    made = experiment_of(values, str(old))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", old.stem).lstrip("._-") or "converted"
    content, path = text(made, name, old.name).encode(), folder / f"{name}.yaml"
    if path.exists() and path.read_bytes() != content:
        raise ExperimentExists(f"{path} exists with other content: move it away, or give another folder with --into.")
    folder.mkdir(parents=True, exist_ok=True)
    storage.write(str(path), content)
    return path, made


def text(made: Experiment, name: str, origin: str) -> str:
    """The content of the experiment's file."""
    lines = ["# @package _global_", f"# Converted from {origin}.", *(f"# - {note}" for note in made.notes), ""]
    defaults = [{f"override /{group}": choice} for group, choice in made.choices.items()]
    body = {"defaults": defaults, "experiment_name": name, **made.values}
    return "\n".join(lines) + yaml.safe_dump(body, sort_keys=False, allow_unicode=True)


def main(arguments: list[str] | None = None) -> None:
    """Convert one file, and print what has no counterpart and how to train with the result."""
    parser = argparse.ArgumentParser(prog="python -m snowcover.convert", description=__doc__)
    parser.add_argument("old", type=Path, help="training TOML of robosat.pink or planet-snowcover")
    parser.add_argument("--into", type=Path, default=Path("."), help="folder of your own configs; by default this one")
    given = parser.parse_args(arguments)
    with cli_error_handler("config"):
        path, made = convert(given.old, given.into / GROUP)
        for note in made.notes:
            print(f"  {note}")
        print(f"{path}\nTrain with it: python -m snowcover.train --config-dir {given.into} {GROUP}={path.stem}")


if __name__ == "__main__":
    main()
