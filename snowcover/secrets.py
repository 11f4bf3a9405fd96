"""What in a text is a secret, and the text without it. The one place that decides: every way out asks it.

A secret is known by where it stands (a password in an address, what is assigned to a name such as `token`) or by what
it looks like (an AWS key, a private key, a token). Where a text could be read both ways, too much is hidden rather
than too little. Pure, and imported at every start.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from snowcover.secret_names import is_plain, is_secret_parameter, names_secret

HIDDEN = "***"

_SCHEME = r"[A-Za-z0-9+.-]{1,32}://"
_NAME, _PLAIN_NAME = r"[A-Za-z_][\w.%-]*", r"[A-Za-z_][\w.-]*"
# Where an assigned value ends without quotes: before the next name=, for what else stands between may belong to it.
_NEXT = rf"[&;]{_NAME}(?:=|%3D)"

_LOOKS = re.compile(
    r"""
    (?<![A-Za-z0-9])(?:
        (?:AKIA|ASIA)[A-Z0-9]{16}                                       # AWS access key id
      | eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?                            # JSON web token
      | gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{16,}
      | hf_[A-Za-z0-9]{20,} | sk-[\w-]{20,} | xox[abeprs]-[\w-]{10,}
      | AIza[\w-]{35} | PLAK[0-9a-f]{32} | dapi[0-9a-f]{32}             # Google, Planet, Databricks
    )(?![A-Za-z0-9])
  | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_AWS_SECRET = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9/+]{40}")  # of a value alone: paths look like it
# Where secret_arguments.py has put one: no secret itself, and of no use to whoever reads it.
_REFERENCE = re.compile(r"\$\{oc\.env:SNOWCOVER_SECRET_\d+\}")
_HEADER = re.compile(
    r"(?i)(?:\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer|token)\s+)?|\b(?:basic|bearer)\s+(?=\S{16}))"
    r"(?P<secret>[A-Za-z0-9+/=._~*-]+)"
)
_ASSIGNED = (
    # name=value and --name=value; {name: value}, "name": "value", and name: value on a line of YAML
    re.compile(
        rf"(?<![\w.%&?;-])(?:--)?(?P<name>{_NAME})=(?=(?P<quote>['\"])(?P<quoted>[^'\"]*)(?P=quote)"
        rf"|(?P<secret>(?:(?!{_NEXT})[^\s'\"])+))"
    ),
    re.compile(
        rf"(?:[{{,]\s*|(?P<open>['\"])|^\s*)(?P<name>{_NAME})(?(open)(?P=open))[ \t]*:[ \t]*"
        r"(?=(?P<quote>['\"])(?P<quoted>[^'\"]*)(?P=quote)|(?P<secret>[^\s'\",{}\[\]][^\n'\",{}\[\]]*))",
        re.MULTILINE,
    ),
)


def _userinfo(sign: str, within: str = "") -> re.Pattern[str]:
    """The password of an address: up to the last @, for a slash or an @ in it is often not encoded."""
    user = rf"{_SCHEME}[^\s:/@?#'\"%\[]*(?::|%3[Aa])"
    port = rf"\d{{1,5}}(?:/[^@?\s]*)?\?{_NAME}="  # before parameters, which may have an @ of their own
    encoded = r"(?P<encoded>(?:(?!%40)[^\s&'\"])+)(?=%40)"  # an address within another's parameter
    return re.compile(
        rf"{user}(?!{port})(?P<secret>(?:{within}{sign})+)(?=@)"
        rf"|https?://(?P<alone>[^\s:/@?#'\"]+)(?=@)"  # to a web server a token; to a database a user's name
        rf"|%3[Aa]%2[Ff]%2[Ff][^\s%&]*%3[Aa]{encoded}",
        re.DOTALL,
    )


def _parameter(sign: str) -> re.Pattern[str]:
    return re.compile(
        rf"[?&;](?P<name>{_NAME})=(?=(?P<secret>(?:(?!{_NEXT}){sign})+))"
        rf"|(?:[?&;=]|%3[BbFf]|%26)(?P<name_encoded>{_PLAIN_NAME})%3[Dd](?=(?P<encoded>(?:(?!%3[Bb]|%26|&)[^\s'\"])+))",
        re.DOTALL,
    )


_IN_TEXT = (_userinfo(r"[^\s'\"`<>]", within=rf"(?!{_SCHEME})"), _parameter(r"[^\s'\"`<>]"))
_WHOLE = (_userinfo("."), _parameter("."))
# Most texts have nothing of a secret: looked for first, for it is quick.
_ANYTHING = re.compile(
    r"://|%3[Aa]|=|:\s|[Bb](?:asic|earer) |AKIA|ASIA|eyJ|gh._|github_|glpat|hf_|sk-|xox|AIza|PLAK|dapi|---"
    r"|SNOWCOVER_SECRET_"
)


def masked(text: str, known: Iterable[str] = ()) -> str:
    """The text with *** in place of each secret; what is masked stays as it is when it is masked again.

    Args:
        known: secrets to be hidden wherever else they stand, as in an error's text; see `secrets_in`.
    """
    if _ANYTHING.search(text):
        text = _until_the_same(text, spans)
    for secret in sorted(known, key=len, reverse=True):
        # A short one may be a word of the message, too.
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)" if len(secret) < 8 else re.escape(secret), HIDDEN, text)
    return text


def masked_uri(uri: str) -> str:
    """The same of a text that is one address and nothing else: its password may hold spaces and quotes."""
    return masked(_until_the_same(uri, spans_of_uri))


def masked_values(node: Any, name: str = "") -> Any:
    """The same of all texts below mappings and lists; a name such as `token` hides its text whole."""
    if isinstance(node, Mapping):
        return {masked(key) if isinstance(key, str) else key: masked_values(one, str(key)) for key, one in node.items()}
    if isinstance(node, (list, tuple)):
        return [masked_values(one, name) for one in node]
    if node is None or isinstance(node, bool) or not node:
        return node
    if names_secret(name, str(node)):
        return HIDDEN
    return masked(node) if isinstance(node, str) else node


def secrets_in(uri: str) -> set[str]:
    """The secrets of one address, as they stand in it and as whoever decodes it repeats them."""
    found = {uri[begin:end] for begin, end in spans_of_uri(uri)} - {HIDDEN}
    return found | {unquote(secret) for secret in found}


def secrets_in_userinfo(uri: str) -> list[str]:
    """The passwords before the host of one address, as they stand in it."""
    return [uri[begin:end] for found in _WHOLE[0].finditer(uri) for begin, end in _groups(found)]


def holds_secret(text: str) -> bool:
    """Whether a text holds anything that `masked` would hide."""
    return masked(text) != text


def is_secret_value(name: str, value: str) -> bool:
    """Whether an environment variable or a tag holds a secret, by its name or by what it looks like."""
    if holds_secret(value) or _AWS_SECRET.fullmatch(value):
        return True
    if name.upper() in ("PWD", "OLDPWD") and value.startswith("/"):  # a shell's own: the folder that it is in
        return False
    return names_secret(name, value) or (is_secret_parameter(name) and not is_plain(value))


def spans(text: str) -> list[tuple[int, int]]:
    """Beginning and end of each secret in a text, in order, none within another."""
    return joined(_found(text, _IN_TEXT))


def spans_of_uri(uri: str) -> list[tuple[int, int]]:
    """The same of a text taken as one address."""
    return joined(_found(uri, _WHOLE))


def _found(text: str, in_addresses: tuple[re.Pattern[str], re.Pattern[str]]) -> Iterator[tuple[int, int]]:
    userinfo, parameter = in_addresses
    for found in (*userinfo.finditer(text), *_HEADER.finditer(text)):
        yield from _groups(found)
    for found in parameter.finditer(text):
        if is_secret_parameter(unquote(found["name"] or found["name_encoded"])):
            yield from _groups(found)
    for pattern in _ASSIGNED:
        for found in pattern.finditer(text):
            if names_secret(found["name"], found["secret"] or found["quoted"] or ""):
                yield from _groups(found)
    yield from (found.span() for pattern in (_LOOKS, _REFERENCE) for found in pattern.finditer(text))


def _groups(found: re.Match[str]) -> Iterator[tuple[int, int]]:
    for group in ("secret", "quoted", "alone", "encoded"):
        if found.groupdict().get(group):
            yield found.span(group)


def joined(found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(found):
        if joined and begin < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def _until_the_same(text: str, places: Callable[[str], list[tuple[int, int]]]) -> str:
    before = None
    while before != text:  # what is hidden may have stood before the name of another
        before = text
        for begin, end in reversed(places(text)):
            text = text[:begin] + HIDDEN + text[end:]
    return text
