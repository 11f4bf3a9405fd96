"""`python -m snowcover.predict`: compose -> check -> map scenes. Imports nothing heavy before the config is right."""

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from snowcover.command import Command, run
from snowcover.errors import UserError

if TYPE_CHECKING:
    from snowcover.predict.config import Config

PACKAGES = ("cv2", "pystac")  # of pyproject.toml's extra `predict`


def schema() -> "type[Config]":
    from snowcover.predict.config import Config

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


def predict(composed: DictConfig) -> None:
    """Make the maps that the composed config asks for."""
    from snowcover.before_training import load_quietly

    config = _checked(composed)
    load_quietly()
    try:
        from snowcover.predict.pipeline import make_maps
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        raise UserError(
            f"Mapping needs {error.name}, which is not installed: pip install 'snowcover[predict]'."
        ) from error

    make_maps(config)


def _checked(composed: DictConfig) -> "Config":
    from snowcover.checking import check
    from snowcover.command import without_nodes

    return check(schema(), without_nodes(composed, "hydra"))


COMMAND = Command("predict", schema, check, places, predict)


def main() -> None:
    run(COMMAND)


if __name__ == "__main__":
    main()
