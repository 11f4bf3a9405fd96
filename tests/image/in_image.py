"""Starts jobs in an image instead of from the checkout."""

import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.aws.namespaces import ONE_THREAD, Namespaces
from tests.image.engine import docker


class InImage(Namespaces):
    """`docker run IMAGE train` with a job's own /opt/ml; process 1 of the container is the image's entrypoint."""

    def __init__(self, image: str, options: Sequence[str] = ("--network", "host")) -> None:
        super().__init__()
        self.image, self.options = image, options
        self._names: dict[int, str] = {}

    def obstacle(self) -> str | None:
        return None

    def command(self, tree: Path, environment: Mapping[str, str]) -> list[str]:
        # The image's own PATH counts, as SageMaker sets none.
        settings = [f"{name}={value}" for name, value in {**ONE_THREAD, **environment}.items() if name != "PATH"]
        words = [word for setting in settings for word in ("--env", setting)]
        name = f"snowcover-test-{secrets.token_hex(6)}"
        mount = f"{tree}:/opt/ml"
        return ["docker", "run", "--rm", "--name", name, *self.options, "--volume", mount, *words, self.image, "train"]

    def start(self, tree: Path, environment: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
        command = self.command(tree, environment)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        self._names[process.pid] = command[command.index("--name") + 1]
        return process

    def terminate(self, process: subprocess.Popen[bytes]) -> None:
        docker("kill", "--signal", "TERM", self._names[process.pid])

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        subprocess.run(["docker", "kill", self._names[process.pid]], capture_output=True)
