"""What is the same in every command that makes files in the place that its key `out` names. Imports nothing heavy."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from snowcover.cli import Command, without_nodes

if TYPE_CHECKING:
    from snowcover.validation import Section


def out_command(config_name: str, schema: "Callable[[], type[Section]]", make: Callable[[Any], None]) -> Command:
    """The command that checks a composed config against its schema, and makes of it what `make` does."""

    def check(composed: DictConfig) -> None:
        from snowcover.writable import refuse_unwritable
        from snowcover.yaml_texts import refuse_changed_texts

        refuse_changed_texts(schema(), composed)
        checked(schema(), composed)
        refuse_unwritable(_places(composed))

    return Command(config_name, schema, check, _places, lambda composed: make(checked(schema(), composed)))


def checked(schema: "type[Section]", composed: DictConfig) -> Any:
    """The typed config of a composed one.

    Raises: ConfigError
    """
    from snowcover.validation import check

    return check(schema, without_nodes(composed, "hydra"))


def _places(composed: DictConfig) -> dict[str, str]:
    """Key -> what the command writes on this machine."""
    from snowcover.writable import local_place, run_place

    found = {**run_place(composed), "out": None if composed.get("dry_run") else local_place(composed, "out")}
    return {key: place for key, place in found.items() if place}
