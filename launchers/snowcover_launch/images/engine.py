"""Docker on this machine, through the `docker` command."""

import os
import subprocess
from collections.abc import Mapping, Sequence

from snowcover.errors import UserError

BUILDKIT_IS_DEFAULT = 23  # the first major version of Docker
MAX_MESSAGE_CHARACTERS = 300  # of Docker's own message, within ours


class NoDocker(UserError):
    """There is no Docker here, no engine, or no image."""


class DockerFailed(UserError):
    """A `docker` command failed."""


def refuse_without_engine() -> None:
    """Raises: NoDocker: there is no `docker`, or it cannot reach an engine."""
    _run(["version", "--format", "{{.Server.Version}}"], "reach its engine", NoDocker)


def docker_output(
    *arguments: str,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    include_stderr: bool = False,
) -> str:
    """The output of `docker arguments...`.

    Args:
        stdin: its standard input.
        environment: variables added to those of this process.
        include_stderr: whether to return its standard error, too.

    Raises:
        NoDocker: there is no `docker`.
        DockerFailed: with Docker's own message.
    """
    action = f"{arguments[0]} {arguments[1]}" if arguments[0] == "image" else arguments[0]
    return _run(arguments, action, DockerFailed, stdin, environment, include_stderr)


def run_docker(*arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run `docker arguments...` with its output on the terminal, and `environment` added to this process's.

    Raises:
        NoDocker, DockerFailed
    """
    try:
        env = {**os.environ, **(environment or {})}
        status = subprocess.run(["docker", *arguments], check=False, env=env).returncode
    except FileNotFoundError as error:
        raise _no_docker() from error
    if status:
        raise DockerFailed(f"`docker {arguments[0]}` ended with status {status}; its last lines above say why.")


def builder() -> dict[str, str]:
    """Environment that makes `docker build` use BuildKit, which writes each layer once instead of three times.

    Since Docker 23 it is the default, and the variable would forbid the fallback where its plugin is missing.
    """
    major = int(docker_output("version", "--format", "{{.Client.Version}}").partition(".")[0])
    return {"DOCKER_BUILDKIT": os.environ.get("DOCKER_BUILDKIT", "1")} if major < BUILDKIT_IS_DEFAULT else {}


def network() -> list[str]:
    """Options that give a build or container this machine's network, if Docker has no bridge network."""
    has_bridge = "bridge" in docker_output("network", "ls", "--format", "{{.Name}}").split()
    return [] if has_bridge else ["--network", "host"]


def _run(
    arguments: Sequence[str], action: str, kind: type[UserError], stdin: str | None = None,
    environment: Mapping[str, str] | None = None, include_stderr: bool = False,
) -> str:  # fmt: skip
    try:
        return subprocess.run(
            ["docker", *arguments], input=stdin, stdout=subprocess.PIPE, text=True, errors="replace", check=True,
            stderr=subprocess.STDOUT if include_stderr else subprocess.PIPE, env={**os.environ, **(environment or {})},
        ).stdout  # fmt: skip
    except FileNotFoundError as error:
        raise _no_docker() from error
    except subprocess.CalledProcessError as error:
        message = " ".join((error.stderr or error.stdout).split())[-MAX_MESSAGE_CHARACTERS:].rstrip(".")
        way_out = ": start the engine, or name another with DOCKER_HOST." if kind is NoDocker else "."
        raise kind(f"Docker could not {action} ({message}){way_out}") from error


def _no_docker() -> NoDocker:
    return NoDocker("There is no `docker` on this machine: install Docker.")
