"""A small judge of IAM policies, as strict as AWS's own: what it does not know, it refuses to judge."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Statement = Mapping[str, Any]
Document = Mapping[str, Any]
KNOWN = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


def allowed(
    documents: Sequence[Document], action: str, resource: str, context: Mapping[str, str], principal: str = ""
) -> bool:
    """Whether the policies together let the call through: something allows it and nothing denies it.

    Args:
        context: what the request says of itself, for example {"s3:prefix": "snowcover/"}.
        principal: a service, for policies that name one (of a role's trust, of a bucket).
    """
    effects = {
        statement["Effect"]
        for statement in statements(documents)
        if _meant(statement, action, resource, principal) and _holds(statement.get("Condition", {}), context)
    }
    return effects == {"Allow"}


def statements(documents: Sequence[Document]) -> Iterator[Statement]:
    for document in documents:
        assert document["Version"] == "2012-10-17"  # in the older language, * and variables mean other things
        for statement in document["Statement"]:
            assert set(statement) <= KNOWN, f"no judgement of {set(statement) - KNOWN}"
            yield statement


def listed(value: Any) -> list[Any]:
    """IAM lets one value stand for a list of one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _meant(statement: Statement, action: str, resource: str, principal: str) -> bool:
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


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """All operators and keys must hold; one of each key's values; a key that the request lacks never does."""
    return all(
        key in context and any(OPERATORS[operator](str(value), context[key]) for value in listed(values))
        for operator, keys in condition.items()
        for key, values in keys.items()
    )


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


OPERATORS = {"StringEquals": _same, "StringLike": _like, "ArnLike": _arn_like, "Bool": _same_truth}
