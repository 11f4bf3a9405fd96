"""`python -m snowcover.predict`: compose -> check -> map scenes. Imports nothing heavy before the config is right."""

from typing import TYPE_CHECKING

from snowcover.cli import run
from snowcover.errors import UserError
from snowcover.out_command import out_command

if TYPE_CHECKING:
    from snowcover.predict.config import Config

PACKAGES = ("cv2", "pystac")  # of pyproject.toml's extra `predict`


def schema() -> "type[Config]":
    """The class whose fields are the command's keys."""
    from snowcover.predict.config import Config

    return Config


def predict(config: "Config") -> None:
    """Make the maps that the config asks for."""
    from snowcover.preflight import heavy_imports

    try:
        with heavy_imports("snowcover.predict.pipeline"):
            from snowcover.predict.pipeline import make_maps
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        raise UserError(
            f"Mapping needs {error.name}, which is not installed: pip install 'snowcover[predict]'."
        ) from error

    make_maps(config)


COMMAND = out_command("predict", schema, predict)


def main() -> None:
    """`python -m snowcover.predict` and `snowcover-predict`."""
    run(COMMAND)


if __name__ == "__main__":
    main()
