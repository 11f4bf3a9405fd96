"""`python -m snowcover.prepare`: compose -> check -> make tiles. Imports nothing heavy before the config is right."""

from omegaconf import DictConfig

from snowcover.command import run
from snowcover.errors import UserError


def prepare(composed: DictConfig) -> None:
    """Make the tiles that the composed config asks for."""
    from snowcover.checking import check
    from snowcover.prepare.config import Config

    config = check(Config, composed)
    try:
        from snowcover.prepare.story import make
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise UserError(
            "Tiles are made with OpenCV, which is not installed: pip install 'snowcover[prepare]'."
        ) from error

    make(config)


def main() -> None:
    run(prepare, "prepare")


if __name__ == "__main__":
    main()
