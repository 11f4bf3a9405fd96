"""Which code this is, in a repository of git's."""

import subprocess
from pathlib import Path

import pytest

from snowcover import provenance
from snowcover.provenance import Commit, code_digest, commit


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small checkout, in place of this one."""
    files = ("snowcover/__init__.py", "snowcover/train.py", "container/train", "conf/config.yaml", "README.md")
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{name}\n")
    (tmp_path / ".gitignore").write_text("__pycache__/\n")
    git(tmp_path, "init", "--quiet")
    save(tmp_path)
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "snowcover")
    return tmp_path


def git(folder: Path, *words: str) -> None:
    own = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", "-C", str(folder), *own, *words], check=True, capture_output=True)


def save(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "test")


def test_code_is_identified_by_its_files_and_not_by_its_commit(repository: Path) -> None:
    before = code_digest()
    (repository / "conf/config.yaml").write_text("an experiment of one's own")
    save(repository)
    (repository / "snowcover/__pycache__").mkdir()
    (repository / "snowcover/__pycache__/train.pyc").write_bytes(b"ignored")
    (repository / "snowcover/train.py").write_bytes(b"snowcover/train.py\r\n")  # as git may write it on Windows
    assert code_digest() == before
    seen = [before]
    for name, text in (("snowcover/train.py", "changed"), ("snowcover/new.py", ""), ("container/train", "changed")):
        (repository / name).write_text(text)
        seen.append(code_digest())
    (repository / "snowcover/new.py").unlink()
    seen.append(code_digest())
    (repository / "container/train").unlink()
    seen.append(code_digest())
    assert len({*seen}) == len(seen)
    assert None not in seen


def test_changes_that_are_not_committed_have_a_name_for_each_content(repository: Path) -> None:
    from snowcover_launch.images.build import SOURCES, Source

    names = set()
    for text in ("one", "two", "one"):
        (repository / "conf/config.yaml").write_text(text)
        names.add(Source("0a1b2c3d4e5f6", True, str(code_digest(SOURCES)), str(code_digest())).tag("current"))
    assert len(names) == 2
    assert all("-0a1b2c3d4e5f-dirty-" in name and name.endswith("-current") for name in names)


def test_an_image_knows_its_commit_and_whether_files_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)  # no repository
    assert code_digest() is None
    for text, known in (("abc", Commit("abc", False)), ("abc-dirty-11112222", Commit("abc", True)), ("", None)):
        monkeypatch.setenv("SNOWCOVER_COMMIT", text)
        assert commit() == known
