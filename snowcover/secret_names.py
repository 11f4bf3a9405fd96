"""Names that say of their value that it is a secret: of variables, parameters and keys. Pure."""

import re
from itertools import pairwise

# Words of such a name: anywhere in it, as a pair, or at its end.
_GLUED = re.compile(r"passw|pwd|passphrase|secret|credential|apikey|accesskey|privatekey")
_KEYS = {"api", "access", "private", "signing", "encryption", "auth", "account", "shared", "storage", "client"}
_LAST_WORDS = {"key", "sig", "signature", "auth", "pass", "pw", "sas", "jwt", "authorization", "cookie"}
_PUBLIC = {"kms"}  # the key of which is named in plain text everywhere
# What an error is called, before its text: `NoCredentials: there are none`.
_ERROR = re.compile(r"[A-Z]\w*(?:Error|Exception)|NoCredentials|CredentialsRefused")
_PLAIN = re.compile(r"(?i)([+-]?\d+(\.\d+)?|true|false|null|none|yes|no)?")


def is_secret_name(name: str) -> bool:
    """Whether a name says so wherever it stands: `MY_PWD`, `apiToken`, `AWS_SECRET_ACCESS_KEY`."""
    words = _words(name)
    if _ERROR.fullmatch(name):
        return False
    if _is_password(words) or "token" in words:
        return True
    return any(word == "key" and before in _KEYS for before, word in pairwise(words))


def is_secret_parameter(name: str) -> bool:
    """The same of a parameter of an address or a variable, where `sig` and `key` say so, too."""
    words = _words(name)
    return is_secret_name(name) or bool(words and words[-1] in _LAST_WORDS and not _PUBLIC & set(words))


def names_secret(name: str, value: str) -> bool:
    """Whether a value is a secret by its name: a password may be a number, a token is none."""
    return bool(value) and is_secret_name(name) and (_is_password(_words(name)) or not is_plain(value))


def is_plain(value: str) -> bool:
    """Empty, a number or a truth value, as of TOKEN_LIMIT=512."""
    return bool(_PLAIN.fullmatch(value))


def _is_password(words: list[str]) -> bool:
    return bool(_GLUED.search("".join(words)))


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
