"""A folder that cannot be written, for root neither, whom permission bits do not bind."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

BOUND = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && cd "$1" && shift && exec "$@"'


def run_in(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command that sees `folder` as its own and read-only."""
    if os.geteuid() == 0:
        if shutil.which("unshare") is None:
            pytest.skip("no `unshare` here to make a folder read-only")
        command = ("unshare", "--mount", "sh", "-c", BOUND, "sh", str(folder), *command)
        if "not permitted" in (done := _done(folder, command)).stderr:
            pytest.skip(f"no mounts here: {done.stderr.strip()}")
        return done
    folder.chmod(0o555)
    try:
        return _done(folder, command)
    finally:
        folder.chmod(0o755)


def _done(folder: Path, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
