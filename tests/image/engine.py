"""A Docker engine to build and run images: this machine's, or one started by the tests that keeps its images."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

BASE = "python:3.11-slim-bookworm"
KEPT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "snowcover-test-engine"
CLIENT = Path("/usr/bin/docker")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
START_TIMEOUT_S = 60
ROOM_BYTES = 35_000_000_000
BUILD_TIMEOUT_S = 3600


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """`docker` works, in this process and those that it starts; the base of our images is there."""
    with pytest.MonkeyPatch.context() as patch:
        if _answers():
            _make_base()
            yield
            return
        if (obstacle := _obstacle()) is not None:
            pytest.skip(obstacle)
        with _started() as address, tempfile.TemporaryDirectory() as programs:
            patch.setenv("DOCKER_HOST", address)
            if CLIENT.is_file():  # of the engine's own package, which another `docker` may hide
                Path(programs, "docker").symlink_to(CLIENT)
                patch.setenv("PATH", programs, prepend=os.pathsep)
            _make_base()
            yield


@pytest.fixture(scope="session")
def built(engine: None) -> Callable[[str], str]:
    """The name of this checkout's image of a variant, built by our own command when first requested."""
    images: dict[str, str] = {}

    def build(variant: str) -> str:
        if variant not in images:
            command = [sys.executable, "-m", "snowcover.image", "build", "--variant", variant]
            done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
            message = re.search(rf"^  (snowcover:\S+-{variant})  ", done.stdout, flags=re.MULTILINE)
            assert message is not None, done.stdout[-3000:]
            images[variant] = message[1]
        return images[variant]

    return build


def docker(*words: str) -> str:
    """What `docker words...` prints."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def _answers() -> bool:
    try:
        return subprocess.run(["docker", "version"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _obstacle() -> str | None:
    """Why no engine can run here. CI must not pass without an engine that could be installed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "no Docker engine answers, and only root on Linux can start one"
    if missing := [name for name in ("docker", "dockerd") if shutil.which(name) is None]:
        message = f"no Docker engine answers, and there is no {' and no '.join(missing)}: `make engine` installs it"
        if os.environ.get("CI") and shutil.which("apt-get"):
            pytest.fail(message)
        return message
    free = shutil.disk_usage(Path.home()).free
    if not (KEPT / "data").exists() and free < ROOM_BYTES:
        return f"both images and what they are made from take {ROOM_BYTES / 1e9:.0f} GB, and {free / 1e9:.0f} are free"
    return None


@contextmanager
def _started() -> Iterator[str]:
    """An engine without its own network: containers and builds use this machine's."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with FileLock(KEPT / "lock"), tempfile.TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as place:
        address = f"unix://{place}/sock"
        command = ["dockerd", "--bridge=none", "--iptables=false", "--host", address, "--data-root", str(KEPT / "data"),
                   "--exec-root", f"{place}/exec", "--pidfile", f"{place}/pid"]  # fmt: skip
        with (KEPT / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("DOCKER_HOST", address)
                end = time.monotonic() + START_TIMEOUT_S
                while not _answers():
                    if process.poll() is not None or time.monotonic() > end:
                        pytest.skip(f"no Docker engine can run here: {(KEPT / 'log').read_text()[-500:]}")
                    time.sleep(0.2)
                if docker("info", "--format", "{{.Driver}}").strip() == "vfs":
                    pytest.skip("the Docker engine here copies each layer whole, which the disk has no room for")
            yield address
        finally:
            process.terminate()
            process.wait()
            # It leaves the network namespace of --network=host mounted, and so the folder could not be removed.
            subprocess.run(["umount", f"{place}/exec/netns/default"], capture_output=True)


def _make_base() -> None:
    """The official Python image, or without a registry a Debian of the same release with its Python."""
    for command in (["image", "inspect", BASE], ["pull", "--quiet", BASE]):
        if subprocess.run(["docker", *command], capture_output=True).returncode == 0:
            return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        packages = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(["debootstrap", "--variant=minbase", packages, "bookworm", folder], check=True)
        shutil.rmtree(f"{folder}/var/cache/apt")
        # This machine's certificates, so that builds use the same package indexes.
        shutil.copy(CERTIFICATES, Path(folder) / CERTIFICATES.relative_to("/"))
        archive = subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["docker", "import", "-", BASE], stdin=archive.stdout, check=True)
        assert archive.wait() == 0
