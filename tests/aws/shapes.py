"""Checks a request against botocore's own model of the service, as AWS does before anything else.

botocore itself checks types, required members and lower bounds only: patterns, enums and upper bounds reach AWS.
"""

import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

from botocore.model import Shape

from tests.aws.responses import invalid

TYPES: dict[str, tuple[type[Any], ...]] = {
    "string": (str,),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "integer": (int,),
    "long": (int,),
    "boolean": (bool,),
    "timestamp": (int, float, datetime),
    "double": (int, float),
    "float": (int, float),
}
NAMED_SETS = {"Alnum": "a-zA-Z0-9", "Alpha": "a-zA-Z"}  # Java's, within ASCII


def check_request(shape: Shape, request: dict[str, Any]) -> None:
    """Raises ValidationException with a message for each violation of the model."""
    faults = list(_faults(shape, request, ""))
    if faults:
        found = "1 validation error" if len(faults) == 1 else f"{len(faults)} validation errors"
        raise invalid(f"{found} detected: {'; '.join(faults)}")


def _faults(shape: Shape, value: Any, where: str) -> Iterator[str]:
    kinds = TYPES[shape.type_name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        yield _fault(value, where, f"Member must be of type {shape.type_name}")
        return
    for rule in _broken_rules(shape, value):
        yield _fault(value, where, rule)
    if shape.type_name == "structure":
        yield from _structure_faults(shape, value, where)
    elif shape.type_name == "list":
        for number, item in enumerate(value, start=1):
            yield from _faults(shape.member, item, f"{where}.{number}.member")
    elif shape.type_name == "map":
        yield from _map_faults(shape, value, where)


def _structure_faults(shape: Shape, value: dict[str, Any], where: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield _fault("null", _path(where, name), "Member must not be null", quoted=False)
    for name, item in value.items():
        if name not in shape.members:
            yield _fault(item, _path(where, name), f"{shape.name} has no such member")
        elif item is not None:
            yield from _faults(shape.members[name], item, _path(where, name))


def _map_faults(shape: Shape, value: dict[str, Any], where: str) -> Iterator[str]:
    for part, items in (("key", value.keys()), ("value", value.values())):
        member = getattr(shape, part)
        rules = sorted({rule for item in items for rule in _broken_rules(member, item)})
        if rules:
            yield _fault(value, where, f"Map {part} must satisfy constraint: [{', '.join(rules)}]")


def _broken_rules(shape: Shape, value: Any) -> Iterator[str]:
    """AWS's messages about a value itself, without its members."""
    limits = shape.metadata
    if shape.type_name in ("string", "list", "map"):
        if len(value) < limits.get("min", 0):
            yield f"Member must have length greater than or equal to {limits['min']}"
        if len(value) > limits.get("max", sys.maxsize):
            yield f"Member must have length less than or equal to {limits['max']}"
    elif shape.type_name in ("integer", "long", "float", "double"):
        if value < limits.get("min", -sys.maxsize):
            yield f"Member must have value greater than or equal to {limits['min']}"
        if value > limits.get("max", sys.maxsize):
            yield f"Member must have value less than or equal to {limits['max']}"
    if limits.get("enum") and value not in limits["enum"]:
        yield f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]"
    if "pattern" in limits and not _compiled(limits["pattern"]).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {limits['pattern']}"


def _fault(value: Any, where: str, rule: str, quoted: bool = True) -> str:
    shown = f"'{value}'" if quoted else value
    return f"Value {shown} at '{where}' failed to satisfy constraint: {rule}"


def _path(where: str, name: str) -> str:
    name = name[0].lower() + name[1:]
    return f"{where}.{name}" if where else name


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """A Java pattern as a Python one: \\p{L} and its like become ranges. They stand in character classes only."""
    return re.compile(re.sub(r"\\p\{(\w+)\}", lambda found: NAMED_SETS.get(found[1]) or _ranges(found[1]), pattern))


def _ranges(category: str) -> str:
    """Every character of a Unicode category such as L or Nd, as the inside of a character class."""
    codes = [code for name, members in _categories().items() if name.startswith(category) for code in members]
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


@cache
def _categories() -> dict[str, list[int]]:
    codes: dict[str, list[int]] = defaultdict(list)
    for code in range(0x10000):
        codes[unicodedata.category(chr(code))].append(code)
    return codes
