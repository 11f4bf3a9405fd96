"""Regular expressions of folder names, as the old system took them, as patterns of ours. Pure."""

import re

_TOKEN = re.compile(
    r"(?P<any>\(?\.\*\??\)?)|(?P<some>\(?\.\+\??\)?)|(?P<one>\\d|\\.|\[[\w.-]+\]|\.|[\w-])(?:\{(?P<times>\d+)\})?",
    re.ASCII,
)
_MARKS = "*?["  # what means something in a pattern


def pattern_of(regex: str) -> str | None:
    """The pattern that takes exactly the names that the regex takes, matched from a name's start as `re.match` does.

    None where no pattern says the same, as of alternatives or of a repeated part.
    """
    body = regex.removeprefix("^")
    ends = body.endswith("$") and not body.endswith("\\$")
    found, place, body = "", 0, body.removesuffix("$") if ends else body
    while place < len(body):
        token = _TOKEN.match(body, place)
        part = None if token is None or body[token.end() : token.end() + 1] in ("*", "+", "?", "{") else _part(token)
        if token is None or part is None:
            return None
        found, place = found + part, token.end()
    return found if ends or found.endswith("*") else found + "*"


def is_one_name(pattern: str) -> bool:
    """Whether a pattern takes a single name."""
    return not any(mark in pattern for mark in _MARKS)


def _part(token: re.Match[str]) -> str | None:
    whole = token["any"] or token["some"]
    if whole is not None:
        if whole.startswith("(") != whole.endswith(")"):
            return None
        return "*" if token["any"] else "?*"
    one = token["one"]
    if one == "\\d":
        one = "[0-9]"
    elif one == ".":
        one = "?"
    elif one.startswith("\\"):
        if one[1].isalnum():  # a class of letters, or a reference to a group
            return None
        one = f"[{one[1]}]" if one[1] in _MARKS else one[1]
    return one * int(token["times"] or 1)
