#!/usr/bin/env python3
"""The part of `docker` that jobs need, for tests: a container is a program on this machine.

$FAKE_DOCKER is its folder: `container.py` in it is what every image runs, with the folder mounted at /opt/ml.
"""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

HOME = Path(os.environ.get("FAKE_DOCKER", "."))


def main() -> None:
    if (HOME / "engine-is-away").exists():
        refuse("Cannot connect to the Docker daemon. Is the docker daemon running?")
    command, *words = sys.argv[1:]
    if command == "run":
        run(words)
    elif command == "supervise":
        supervise(HOME / words[0], *words[1:])
    elif command in ("inspect", "logs", "stop", "rm"):
        folder = HOME / words[-1]
        if not folder.is_dir():
            refuse(f"Error: No such container: {folder.name}")
        {"inspect": inspect, "logs": logs, "stop": stop, "rm": remove}[command](folder, words)


def refuse(why: str) -> None:
    sys.exit(f"Error response from daemon: {why}")


def run(words: list[str]) -> None:
    folder = HOME / words[words.index("--name") + 1]
    if "--gpus" in words:
        folder.mkdir()
        (folder / "exit").write_text("128")
        refuse('could not select device driver "" with capabilities: [[gpu]]')
    if folder.exists():
        refuse(f'Conflict. The container name "/{folder.name}" is already in use by container "abc"')
    folder.mkdir()
    (ml,) = (word.removesuffix(":/opt/ml") for word in words if word.endswith(":/opt/ml"))
    subprocess.Popen(
        [sys.executable, __file__, "supervise", folder.name, ml], start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (folder / "pid").exists():
        time.sleep(0.01)
    print("abc")


def supervise(folder: Path, ml: str) -> None:
    program = [sys.executable, "-u", str(HOME / "container.py"), ml]
    # As process 1 of a container, the program gets no signal that it has not asked for.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    (folder / "pid").write_text(str(process.pid))
    with (folder / "log").open("w") as log:
        for line in process.stdout:
            log.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z {line}")
            log.flush()
    code = process.wait()
    (folder / "exit").write_text(str(code if code >= 0 else 128 - code))


def inspect(folder: Path, words: list[str]) -> None:
    ended = (folder / "exit").exists()
    state = {
        "Status": "exited" if ended else "running", "ExitCode": int((folder / "exit").read_text()) if ended else 0,
        "OOMKilled": False, "StartedAt": "2026-11-27T12:00:00Z",
    }  # fmt: skip
    print(json.dumps({"Id": "abc", "State": state}))


def logs(folder: Path, words: list[str]) -> None:
    since = words[words.index("--since") + 1] if "--since" in words else ""
    for number, line in enumerate((folder / "log").read_text().splitlines()):
        if line.partition(" ")[0] >= since:
            print(line, file=sys.stderr if number % 2 else sys.stdout)


def stop(folder: Path, words: list[str]) -> None:
    if not (folder / "exit").exists():
        os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
    while not (folder / "exit").exists():
        time.sleep(0.01)


def remove(folder: Path, words: list[str]) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


if __name__ == "__main__":
    main()
