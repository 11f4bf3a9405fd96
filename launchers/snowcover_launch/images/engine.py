"""Docker on this machine, through its own command."""

import os
import subprocess
from collections.abc import Mapping, Sequence

from snowcover.errors import UserError

WORDS = 300  # of what Docker says, in a sentence


class NoDocker(UserError):
    """There is no Docker here, no engine, or no image."""


class DockerFailed(UserError):
    """Docker could not do what it was asked for."""


def refuse_without_engine() -> None:
    """Raises: NoDocker: there is no `docker`, or it reaches no engine."""
    _run(["version", "--format", "{{.Server.Version}}"], "reach its engine", NoDocker)


def asked(
    *words: str, given: str | None = None, environment: Mapping[str, str] | None = None, both: bool = False
) -> str:
    """What `docker words...` answers.

    Args:
        given: its standard input.
        environment: variables that it gets besides ours.
        both: its standard error, too.

    Raises:
        NoDocker: there is no `docker`.
        DockerFailed: in Docker's own words.
    """
    doing = f"{words[0]} {words[1]}" if words[0] == "image" else words[0]
    return _run(words, doing, DockerFailed, given, environment, both)


def shown(*words: str, environment: Mapping[str, str] | None = None) -> None:
    """Run `docker words...` before the user's eyes, with `environment` added to this process's.

    Raises:
        NoDocker, DockerFailed
    """
    try:
        status = subprocess.run(["docker", *words], check=False, env={**os.environ, **(environment or {})}).returncode
    except FileNotFoundError as error:
        raise _none_here() from error
    if status:
        raise DockerFailed(f"`docker {words[0]}` ended with status {status}; its last lines above say why.")


def network() -> list[str]:
    """Options that let a build or a container reach what this machine reaches, where it could not of itself."""
    has_bridge = "bridge" in asked("network", "ls", "--format", "{{.Name}}").split()
    return [] if has_bridge else ["--network", "host"]


def _run(
    words: Sequence[str], doing: str, kind: type[UserError], given: str | None = None,
    environment: Mapping[str, str] | None = None, both: bool = False,
) -> str:  # fmt: skip
    try:
        return subprocess.run(
            ["docker", *words], input=given, stdout=subprocess.PIPE, text=True, errors="replace", check=True,
            stderr=subprocess.STDOUT if both else subprocess.PIPE, env={**os.environ, **(environment or {})},
        ).stdout  # fmt: skip
    except FileNotFoundError as error:
        raise _none_here() from error
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or error.stdout).split())[-WORDS:].rstrip(".")
        way_out = ": start the engine, or name another with DOCKER_HOST." if kind is NoDocker else "."
        raise kind(f"Docker could not {doing} ({said}){way_out}") from error


def _none_here() -> NoDocker:
    return NoDocker("There is no `docker` on this machine: install Docker.")
