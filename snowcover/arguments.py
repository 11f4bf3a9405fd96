"""The words of a command line in the order that Hydra takes them: options first, wherever they were typed."""

import argparse
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser

from snowcover.errors import UserError

RUNS = ("run", "multirun", "cfg", "info", "shell_completion")  # of which Hydra does one


class WrongOption(UserError):
    """An option that there is not, or one that does not go together with another."""


def options_first(arguments: Sequence[str]) -> list[str]:
    """The same words, so that `a=1 -m b=1,2` means what it says.

    Raises:
        WrongOption
    """
    if "--" in arguments:
        return list(arguments)
    parser = get_args_parser()
    setattr(parser, "error", _refuse)  # noqa: B010 - mypy knows it as a method
    options, overrides = _divided(arguments, parser)
    given = parser.parse_args([*options, *overrides])
    _refuse_what_does_not_go_together(given, options)
    return [*options, *overrides]


def _divided(arguments: Sequence[str], parser: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Options with their values, and the rest. A key never begins with a dash."""
    options: list[str] = []
    overrides: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not word.startswith("-"):
            overrides.append(word)
            continue
        name, is_whole, value = word.partition("=")
        action = _action(parser, name)
        if not is_whole and action is not None and waiting and _takes(action, waiting[0]):
            value = waiting.pop(0)
        if action is not None and action.dest == "config_dir" and value:
            options.append(f"--config-dir={_folder(value)}")
        elif action is not None and action.nargs == "?":  # else it would take the first key for its value
            options.append(f"{action.option_strings[0]}={value or action.const}")
        else:
            options += [word, value] if value and not is_whole else [word]
    return options, overrides


def _action(parser: argparse.ArgumentParser, name: str) -> Any:
    """What an option does, by its name or the beginning of that; None where it is none or several."""
    actions = [action for action in parser._actions if action.option_strings]
    found = [action for action in actions if name in action.option_strings]
    found = found or [a for a in actions if any(option.startswith(name) for option in a.option_strings)]
    return found[0] if len(found) == 1 else None


def _takes(action: argparse.Action, word: str) -> bool:
    """Whether the next word is the option's value."""
    if action.nargs == "?":
        return action.choices is not None and word in action.choices
    return action.nargs is None


def _folder(given: str) -> str:
    folder = os.path.expanduser(given)
    if not os.path.isdir(folder):
        raise WrongOption(f"--config-dir {given}: there is no such folder.")
    return folder


def config_folder(arguments: Sequence[str]) -> str | None:
    """The user's own folder of config files, of arguments that are in order."""
    found = [word.partition("=")[2] for word in arguments if word.startswith("--config-dir=")]
    return found[0] if found else None


def _refuse(message: str) -> NoReturn:
    raise WrongOption(f"{message[0].upper()}{message[1:]} (--hydra-help lists the options).")


def _refuse_what_does_not_go_together(given: argparse.Namespace, options: Sequence[str]) -> None:
    if given.experimental_rerun is not None:
        raise WrongOption(
            "--experimental-rerun reads a pickle, and no run of ours leaves one: give the overrides of that run again, "
            "which are on its page in MLflow, and data.manifest=.../manifest.csv of its folder for the same tiles."
        )
    if sum(option.startswith("--config-dir=") for option in options) > 1:
        raise WrongOption(
            "--config-dir is given twice: give one, and further folders as hydra.searchpath=[file://DIR]."
        )
    several = [name for name in RUNS if getattr(given, name) not in (None, False)]
    if len(several) > 1:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in several)
        raise WrongOption(f"{names} do not go together: give one of them.")
    if given.resolve and not (given.cfg or given.help):
        raise WrongOption("--resolve is for --cfg: add --cfg job.")
