"""`python -m snowcover.evaluate`: compose -> check -> score -> report. Imports nothing heavy before the config is
right."""

from typing import TYPE_CHECKING

from snowcover.cli import run
from snowcover.errors import UserError
from snowcover.out_command import out_command

if TYPE_CHECKING:
    from snowcover.evaluate.config import Config


def schema() -> "type[Config]":
    """The class whose fields are the command's keys."""
    from snowcover.evaluate.config import Config

    return Config


def evaluate(config: "Config") -> None:
    """Make the evaluation that the config asks for."""
    from snowcover.preflight import heavy_imports

    try:
        with heavy_imports("snowcover.evaluate.pipeline"):
            from snowcover.evaluate.pipeline import make_report
    except ModuleNotFoundError as error:
        if error.name != "cv2":  # of pyproject.toml's extra `evaluate`
            raise
        raise UserError("Evaluating needs cv2, which is not installed: pip install 'snowcover[evaluate]'.") from error

    make_report(config)


COMMAND = out_command("evaluate", schema, evaluate)


def main() -> None:
    """`python -m snowcover.evaluate` and `snowcover-evaluate`."""
    run(COMMAND)


if __name__ == "__main__":
    main()
