"""Converts the old system's regular expressions of folder names to patterns. Pure."""

import re

_TOKEN = re.compile(
    r"(?P<any>\(?\.\*\??\)?)|(?P<some>\(?\.\+\??\)?)|(?P<one>\\d|\\.|\[[\w.-]+\]|\.|[\w-])(?:\{(?P<times>\d+)\})?",
    re.ASCII,
)
_MARKS = "*?["  # special characters of a pattern


def pattern_of(regex: str) -> str | None:
    """The pattern that matches exactly the names that the regex matches (from the start, like `re.match`).

    None if no pattern is equivalent, as for alternatives or repeated groups.
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
    """Whether a pattern matches only a single name."""
    return not any(mark in pattern for mark in _MARKS)


def _part(token: re.Match[str]) -> str | None:
    whole = token["any"] or token["some"]
    if whole is not None:
        if whole.startswith("(") != whole.endswith(")"):
            return None
        return "*" if token["any"] else "?*"
    character = token["one"]
    if character == "\\d":
        character = "[0-9]"
    elif character == ".":
        character = "?"
    elif character.startswith("\\"):
        if character[1].isalnum():  # a character class, or a reference to a group
            return None
        character = f"[{character[1]}]" if character[1] in _MARKS else character[1]
    return character * int(token["times"] or 1)
