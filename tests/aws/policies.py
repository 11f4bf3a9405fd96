"""Evaluates IAM policies as strictly as AWS; raises for anything it does not know."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Statement = Mapping[str, Any]
Context = Mapping[str, str | list[str]]
"""Values of a request by condition key: one, or several if the key has several."""
Document = Mapping[str, Any]
KNOWN = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


def allowed(documents: Sequence[Document], action: str, resource: str, context: Context, principal: str = "") -> bool:
    """Whether the policies together let the call through: something allows it and nothing denies it.

    Args:
        context: what the request says of itself, for example {"s3:prefix": "snowcover/"}.
        principal: a service, for policies that name one (of a role's trust, of a bucket).
    """
    effects = {
        statement["Effect"]
        for statement in statements(documents)
        if _applies(statement, action, resource, principal) and _holds(statement.get("Condition", {}), context)
    }
    return effects == {"Allow"}


def statements(documents: Sequence[Document]) -> Iterator[Statement]:
    for document in documents:
        assert document["Version"] == "2012-10-17"  # in the older language, * and variables mean other things
        for statement in document["Statement"]:
            assert set(statement) <= KNOWN, f"no judgement of {set(statement) - KNOWN}"
            yield statement


def listed(value: Any) -> list[Any]:
    """IAM accepts a single value instead of a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _applies(statement: Statement, action: str, resource: str, principal: str) -> bool:
    return (
        any(_like(pattern.lower(), action.lower()) for pattern in listed(statement["Action"]))
        and any(_like(pattern, resource) for pattern in listed(statement.get("Resource", resource)))
        and _is_principal(statement.get("Principal"), principal)
    )


def _is_principal(named: Any, principal: str) -> bool:
    if named is None or named == "*":
        return True
    assert set(named) == {"Service"}, f"no judgement of {named}"
    return principal in listed(named["Service"])


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """All operators and keys must hold."""
    return all(
        _key_holds(operator, [str(value) for value in listed(values)], context.get(key))
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


def _key_holds(operator: str, wanted: list[str], given: str | list[str] | None) -> bool:
    """One of the wanted values must match; a missing key does not, except for operators that allow it."""
    if operator == "Null":
        return {str(given is None).lower()} == {value.lower() for value in wanted}
    base = operator.removesuffix("IfExists")
    if given is None:
        return base != operator or base.startswith("ForAllValues:")
    fits = OPERATORS[base.removeprefix("ForAllValues:")]
    assert base.startswith("ForAllValues:") or isinstance(given, str), f"no judgement of several values by {operator}"
    return all(any(fits(value, one) for value in wanted) for one in listed(given))


def _like(pattern: str, value: str) -> bool:
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _same(wanted: str, value: str) -> bool:
    return wanted == value


def _same_truth(wanted: str, value: str) -> bool:
    return wanted.lower() == value.lower()


def _arn_like(pattern: str, value: str) -> bool:
    """Part by part: an ARN has six, and a * does not reach over the colon between them."""
    patterns, values = pattern.split(":", 5), value.split(":", 5)
    return len(patterns) == len(values) == 6 and all(map(_like, patterns, values))


def _no_more(limit: str, value: str) -> bool:
    return float(value) <= float(limit)


OPERATORS = {
    "StringEquals": _same,
    "StringLike": _like,
    "ArnEquals": _arn_like,
    "ArnLike": _arn_like,
    "Bool": _same_truth,
    "NumericLessThanEquals": _no_more,
}
