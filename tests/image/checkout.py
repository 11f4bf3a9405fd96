"""A checkout of this project that tests may change: its own repository, with the files of an image."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from snowcover import __version__
from snowcover_launch.images.build import CHECKOUT, SOURCES

NOBODY = ["-c", "user.name=test", "-c", "user.email=test@localhost"]


class Checkout:
    """The image command, run in a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in SOURCES:
            copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy2
            copy(CHECKOUT / name, folder / name)
        shutil.copytree(CHECKOUT / "launchers", folder / "launchers")
        shutil.copy2(CHECKOUT / ".gitignore", folder)
        self.git("init", "--quiet")
        self.commit()

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.folder), *NOBODY, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "test")

    @property
    def sha(self) -> str:
        return self.git("rev-parse", "HEAD")

    def name(self, variant: str, mark: str = "") -> str:
        """The image's name."""
        return f"snowcover:{__version__}-{self.sha[:12]}{mark}-{variant}"

    def image(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`python -m snowcover.image words...` of this checkout's code."""
        place = {"PYTHONPATH": f"{self.folder}:{self.folder / 'launchers'}"}
        return subprocess.run(
            [sys.executable, "-m", "snowcover.image", *words],
            cwd=self.folder, env=os.environ | place | environment, capture_output=True, text=True,
        )  # fmt: skip


def error_message(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of a failed command, its error message."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]
