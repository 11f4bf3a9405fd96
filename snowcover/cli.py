"""How a command of ours starts: Hydra composes, the task runs, and an error ends in one message.

Imported at every start, so nothing heavy may be imported here.
"""

import contextlib
import difflib
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from snowcover.arguments import config_folder, options_first
from snowcover.config_root import config_root
from snowcover.errors import LostProcess, Stopped, UserError
from snowcover.overrides import texts_quoted
from snowcover.secret_arguments import hide_secrets
from snowcover.terminal import safe, without_secrets

if TYPE_CHECKING:
    from snowcover.validation import Section

OF_THE_LAUNCHER = ("boto3", "hydra_plugins", "rich", "sagemaker", "snowcover_launch")  # pyproject.toml's extra `launch`


@dataclass(frozen=True)
class Command:
    """What a command of ours is made of. The functions import what they need: see the start of this file."""

    config_name: str
    schema: "Callable[[], type[Section]]"
    """the class that says which keys there are"""
    check: Callable[[DictConfig], None]
    """refuses a composed config, Hydra's own node included, before any folder is made"""
    places: Callable[[DictConfig], Mapping[str, str]]
    """of a composed config: key -> what of this machine will be written"""
    task: Callable[[DictConfig], Any]


def without_nodes(composed: DictConfig, *nodes: str) -> DictConfig:
    """A composed config without some of its nodes."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key not in nodes])


class PassedThrough(BaseException):
    """An error on its way out of one of Hydra's callbacks. Not an Exception, of which Hydra makes warnings."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Finished(Exception):
    """There is nothing more to do, and nothing went wrong."""


def run(command: Command) -> None:
    """Run a command on the config that the command line composes; ends as `cli_error_handler` does."""
    with cli_error_handler(command.config_name), contextlib.suppress(Finished):
        # Hydra prints errors itself, and with a traceback, unless this is set: then it raises them to us.
        os.environ["HYDRA_FULL_ERROR"] = "1"
        job = Job(command)
        root = str(config_root(command.config_name))
        main = hydra.main(version_base="1.3", config_path=root, config_name=command.config_name)(job)
        try:
            arguments = texts_quoted(hide_secrets(options_first(sys.argv[1:])), command.schema)
            if folder := config_folder(arguments):
                sys.path.append(os.path.abspath(folder))  # a class next to the file that names it is found
            with _arguments(arguments):
                main()
        except PassedThrough as passed:
            raise passed.error from passed.error.__cause__
        if job.failure is not None:
            raise job.failure


@contextlib.contextmanager
def _arguments(arguments: list[str]) -> Iterator[None]:
    """Hydra reads the process's own arguments, and so do those that start it again, one for each device."""
    given = sys.argv
    sys.argv = [given[0], *arguments]
    try:
        yield
    finally:
        sys.argv = given


@contextlib.contextmanager
def cli_error_handler(config_name: str, failure_file: Path | None = None) -> Iterator[None]:
    """End the process where the block fails: a UserError and what Hydra refuses with one message and status 1, a stop
    by Ctrl-C or SIGTERM in 128 + the signal's number. HYDRA_FULL_ERROR=1 shows the traceback instead.

    Args:
        failure_file: takes the message too, unless another process of the run has already written its own.
    """
    wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
    logging.getLogger("botocore").setLevel(logging.WARNING)  # each AWS client logs where it found credentials
    with without_secrets():
        try:
            yield
        except (KeyboardInterrupt, Stopped) as stop:
            _end(str(stop) or "Stopped by Ctrl-C.", 128 + getattr(stop, "signal_number", signal.SIGINT))
        except (Exception, LostProcess) as error:
            message = user_message(error, config_name)
            if failure_file is not None:
                with contextlib.suppress(FileExistsError), failure_file.open("x", encoding="utf-8") as file:
                    file.write(message)
            if wants_traceback:
                traceback.print_exc()
                sys.exit(1)
            _end(message, 1)


class Job:
    """The command's task, as Hydra calls it."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.failure: Exception | None = None

    def __call__(self, config: DictConfig) -> Any:
        """Run the command's task in the folder that the user started in; called by Hydra with the composed config."""
        # hydra.job.chdir=true has changed to the run's folder, where the user's relative paths would point elsewhere.
        os.chdir(HydraConfig.get().runtime.cwd)
        try:
            return self.command.task(config)
        except Exception as error:
            # In a sweep Hydra says which job failed. Of a single run it would repeat the command line.
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                raise
            self.failure = error


def user_message(error: BaseException, config_name: str) -> str:
    """An error in one sentence, with the way out where the user can mend it; safe to be shown and stored."""
    return safe(_user_message(error, config_name))


def _user_message(error: BaseException, config_name: str) -> str:
    if isinstance(error, (UserError, LostProcess)):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in OF_THE_LAUNCHER:
        return f"Sending jobs to cloud instances needs {error.name}: pip install 'snowcover[launch]'."
    if isinstance(error, MissingConfigException):
        return _missing_choice(str(error))
    if isinstance(error, OverrideParseException):
        key = error.override.partition("=")[0]
        return f"{error.override}: Hydra cannot read this override; put such a value in double quotes, '{key}=\"...\"'."
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _refused_override(error, config_name)
    return (
        f"Unexpected {type(error).__name__}: {' '.join(str(error).split())[:500]} "
        "(this looks like a fault of the program: HYDRA_FULL_ERROR=1 shows where)"
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean NAME?)` for a near miss, else nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]}?)" if matches else ""


def _end(message: str, status: int) -> NoReturn:
    sys.stdout.flush()
    print(safe(message), file=sys.stderr)
    sys.exit(status)


def _missing_choice(message: str) -> str:
    choice = re.search(r"Could not find '([^']+)/([^'/]+)'", message)
    if choice is None:
        return " ".join(message.split())
    group, name = choice.groups()
    _, _, listed = message.partition("Available options in")
    options = re.findall(r"^\t(\S+)", listed.partition("Config search path")[0], flags=re.MULTILINE)
    return f"{group}={name}: no such {group}{nearest(name, options)}; the choices are {', '.join(options)}."


def _refused_override(error: BaseException, config_name: str) -> str:
    message = " ".join(str(error).split())
    key = re.search(r"Could not override '([^']+)'", message)
    if key is None:
        cause = error.__cause__
        return f"{message} ({' '.join(str(cause).split())})" if cause else message
    given = key.group(1)
    return f"{given}: the config has no such key{nearest(given, _known_keys(config_name))}."


def _known_keys(config_name: str) -> list[str]:
    """Every dotted key of the default config, for a suggestion."""
    with hydra.initialize_config_dir(str(config_root(config_name)), version_base="1.3"):
        config = OmegaConf.to_container(hydra.compose(config_name), resolve=False)
    return list(dotted_keys(config))


def dotted_keys(node: Any, prefix: str = "") -> Iterable[str]:
    """The dotted names of all nodes below a mapping, inner ones included."""
    if isinstance(node, dict):
        for name, child in node.items():
            yield f"{prefix}{name}"
            yield from dotted_keys(child, f"{prefix}{name}.")
