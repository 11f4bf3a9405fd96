"""`python -m snowcover.prepare`: compose -> check -> make tiles. Imports nothing heavy before the config is right."""

from typing import TYPE_CHECKING

from snowcover.cli import run
from snowcover.errors import UserError
from snowcover.out_command import out_command

if TYPE_CHECKING:
    from snowcover.prepare.config import Config


def schema() -> "type[Config]":
    """The class whose fields are the command's keys."""
    from snowcover.prepare.config import Config

    return Config


def prepare(config: "Config") -> None:
    """Make the tiles that the config asks for."""
    try:
        from snowcover.prepare.pipeline import make
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise UserError(
            "Tiles are made with OpenCV, which is not installed: pip install 'snowcover[prepare]'."
        ) from error

    make(config)


COMMAND = out_command("prepare", schema, prepare)


def main() -> None:
    """`python -m snowcover.prepare` and `snowcover-prepare`."""
    run(COMMAND)


if __name__ == "__main__":
    main()
