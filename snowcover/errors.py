"""What ends a command without being a fault of the program."""

import signal

LINE_LENGTH = 300  # characters of another program's error that a message of ours repeats


class UserError(Exception):
    """Something the user can mend. Its text is the whole message: what is wrong, where, and the way out."""


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. Not an Exception, so that nothing on the way mistakes it for a failure."""

    def __init__(self, message: str, signal_number: int = signal.SIGTERM) -> None:
        super().__init__(message)
        self.signal_number = int(signal_number)


class LostProcess(BaseException):
    """Another of the processes that train one run together has ended. Not an Exception, as Stopped."""

    def __init__(self) -> None:
        super().__init__("Another process of this run has ended, and its own log says why: mend that.")


def first_line(error: BaseException) -> str:
    """The beginning of an error's text, to be quoted within a message: its first line, cut between two words."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0].strip()
    if len(line) <= LINE_LENGTH:
        return line
    whole, space, _ = line[: LINE_LENGTH + 1].rpartition(" ")
    return f"{whole if space else line[:LINE_LENGTH]} ..."
