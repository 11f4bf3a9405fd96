"""`python -m snowcover.prepare`: compose -> check -> make tiles. Imports nothing heavy before the config is right."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from snowcover.command import Command, run
from snowcover.errors import UserError

if TYPE_CHECKING:
    from snowcover.prepare.config import Config


def schema() -> "type[Config]":
    from snowcover.prepare.config import Config

    return Config


def check(composed: DictConfig) -> None:
    """Refuse a composed config before any folder is made.

    Raises: UserError
    """
    from snowcover.writable import refuse_unwritable
    from snowcover.yaml_texts import refuse_changed_texts

    refuse_changed_texts(schema(), composed)
    _checked(composed)
    refuse_unwritable(places(composed))


def places(composed: DictConfig) -> dict[str, str]:
    """Key -> what the command writes on this machine."""
    from snowcover.writable import local_place, run_place

    found = {**run_place(composed), "out": None if composed.dry_run else local_place(composed, "out")}
    return {key: place for key, place in found.items() if place}


def prepare(composed: DictConfig) -> None:
    """Make the tiles that the composed config asks for."""
    config = _checked(composed)
    try:
        from snowcover.prepare.story import make
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise UserError(
            "Tiles are made with OpenCV, which is not installed: pip install 'snowcover[prepare]'."
        ) from error

    make(config)


def _checked(composed: DictConfig) -> "Config":
    from snowcover.checking import check
    from snowcover.command import without_nodes

    return check(schema(), without_nodes(composed, "hydra"))


COMMAND = Command("prepare", schema, check, places, prepare)


def main() -> None:
    run(COMMAND)


if __name__ == "__main__":
    main()
