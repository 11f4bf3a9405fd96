"""Foreign text on the terminal: it can be read, and do nothing else."""

import logging
import subprocess
import sys

import pytest

from snowcover.terminal import SafeFormatter, printable, safe, without_secrets

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("epoch=1/20\tval_iou=0.5\nüñ 雪", "epoch=1/20\tval_iou=0.5\nüñ 雪"),
        ("\x1b[31mred\x1b[0m and \x1b[2J\x1b[1;1Hclean", "red and clean"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm\x07clipboard", "clipboard"),
        ("\x9b31mC1", "C1"),
        (" 10%\r 20%\r 30%\n", " 30%\n"),
        ("line\r\nnext\r", "line\nnext"),
        ("bell\x07 back\x08 null\x00", "bell\\x07 back\\x08 null\\x00"),
        ("invoice\u202efdp.exe", "invoice\\u202efdp.exe"),
        ("half \ud800 a character", "half \\ud800 a character"),
    ],
)
def test_control_characters_do_not_reach_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_secret_cannot_hide_behind_control_characters() -> None:
    assert safe("http://me:hun\x1b[0mter2@h") == "http://me:***@h"
    assert safe("pass\x1b[0mword=hunter2") == "password=***"


def test_every_line_of_a_log_is_safe_with_what_an_exception_says() -> None:
    try:
        raise ValueError("postgresql://me:hunter2@db is \x1b[31maway")
    except ValueError:
        record = logging.LogRecord("n", logging.INFO, "f", 1, "at %s", ("http://u:hunter2@h",), sys.exc_info())
    text = SafeFormatter("%(message)s").format(record)
    assert text.startswith("at http://u:***@h\nTraceback")
    assert text.endswith("ValueError: postgresql://me:***@db is away")


def test_whoever_prints_prints_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with without_secrets():
        print("tracking.uri:", "http://u:hunter2@h")
        sys.stderr.writelines(["token=hunter2\n"])
        assert sys.stdout.isatty() is False
    assert capsys.readouterr() == ("tracking.uri: http://u:***@h\n", "token=***\n")


def test_what_nobody_reads_any_more_ends_nothing() -> None:
    program = (
        "import os, sys\n"
        "from snowcover.terminal import without_secrets\n"
        "with without_secrets():\n"
        "    sys.stdin.read()\n"  # until nobody reads
        "    for _ in range(20_000): print('epoch')\n"
        "    sys.stdout.flush()\n"
        "os._exit(3)\n"
    )
    pipe = subprocess.PIPE
    command = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe)
    assert command.stdout is not None
    command.stdout.close()
    command.stdout = None
    _, said = command.communicate()
    assert (command.returncode, said) == (3, b"")
