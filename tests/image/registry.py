"""A real image registry (Debian's docker-registry) behind the fake ECR."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bcrypt
import pytest

USER, TOKEN = "AWS", "a-token-of-twelve-hours"
START_TIMEOUT_S = 30
ACCEPTED = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """Accepts images from clients that sign in with ECR's token."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str) -> Any:
        """The registry's response to GET /v2/path, with its headers."""
        secret = b64encode(f"{USER}:{TOKEN}".encode()).decode()
        headers = {"Authorization": f"Basic {secret}", "Accept": ACCEPTED}
        request = urllib.request.Request(f"http://{self.address}/v2/{path}", headers=headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer), answer.headers

    def stand_behind_ecr(self, patch: pytest.MonkeyPatch) -> None:
        """moto's ECR gives this registry's address where AWS's gives its own."""
        from moto.core.responses import ActionResult
        from moto.ecr.models import Repository
        from moto.ecr.responses import ECRResponse

        made = Repository.__init__

        def make(repository: Repository, *args: Any, **given: Any) -> None:
            made(repository, *args, **given)
            repository.uri = f"{self.address}/{repository.name}"

        def token(_: ECRResponse) -> ActionResult:
            secret = b64encode(f"{USER}:{TOKEN}".encode()).decode()
            entry = {"authorizationToken": secret, "proxyEndpoint": f"http://{self.address}"}
            return ActionResult({"authorizationData": [entry]})

        patch.setattr(Repository, "__init__", make)
        patch.setattr(ECRResponse, "get_authorization_token", token)


@contextmanager
def registry(folder: Path) -> Iterator[Registry]:
    """Running until the block ends, with its files in `folder`."""
    program = shutil.which("docker-registry")
    if program is None:
        message = "there is no docker-registry: `make engine` installs it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    password = bcrypt.hashpw(TOKEN.encode(), bcrypt.gensalt(4)).decode()
    folder.mkdir(parents=True)
    (folder / "passwords").write_text(f"{USER}:{password}\n")
    settings = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}, "level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": address},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "passwords")}},
    }
    (folder / "settings.yaml").write_text(json.dumps(settings))
    process = subprocess.Popen(
        [program, "serve", str(folder / "settings.yaml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        found = Registry(address)
        end = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                found.ask("")
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < end, "docker-registry did not start"
                time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait()
