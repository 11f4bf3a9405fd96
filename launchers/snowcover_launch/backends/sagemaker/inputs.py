"""The files that a job reads from S3, as a digest: they may change while the addresses in its config do not.

Told by listings, a request for each 1,000 files: sizes and ETags, which change with the content.
"""

import csv
import fnmatch
import hashlib
import io
import logging
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from snowcover.errors import UserError
from snowcover.paths import weights_file
from snowcover_launch.aws import bucket
from snowcover_launch.aws.bucket import StoredObject
from snowcover_launch.aws.errors import AccessDenied, NotFound
from snowcover_launch.aws.session import Account
from snowcover_launch.config import JobConfig
from snowcover_launch.results import BEST

if TYPE_CHECKING:
    from snowcover.data.config import DataConfig

log = logging.getLogger(__name__)

_TILE = re.compile(r"(?i)(?P<folder>.+)/\d+/\d+/\d+\.tiff?")


class MissingInput(UserError):
    """A job would read what is not there, or what only this machine has."""


@dataclass(frozen=True)
class Input:
    """Something that a config has a job read."""

    key: str
    """of the config"""
    uri: str
    kind: Literal["tiles", "manifest", "checkpoint", "weights"]
    """tiles: of a collect, or of all scenes that a pattern matches"""


class InputDigests:
    """Digests of what jobs read: each address is looked at once, however many jobs name it.

    To be made anew for each batch of jobs: between batches files may change.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._digests: dict[Input, str] = {}

    def of(self, config: JobConfig) -> str | None:
        """The digest of all that a job reads from S3; None where it reads nothing.

        What may not be looked at from here gets a digest that no other job has, so that no result of other files can
        be taken for the job's own; that is told.

        Raises:
            MissingInput: the job would find nothing there.
            AwsError
        """
        found = [f"{each.key} {self._digest(each)}" for each in inputs(config)]
        return _sha256(found) if found else None

    def _digest(self, wanted: Input) -> str:
        if wanted not in self._digests:
            self._digests[wanted] = self._looked_at(wanted)
        return self._digests[wanted]

    def _looked_at(self, wanted: Input) -> str:
        try:
            return _sha256(self._lines(wanted))
        except AccessDenied as error:
            log.warning(
                "%s Whether an earlier job has learned from the same files is not known then, so none is reused or "
                "resumed for those that read %s: ask for the right to list it.", error, wanted.uri,
            )  # fmt: skip
            return secrets.token_hex(16)
        except NotFound as error:
            raise MissingInput(f"{wanted.key} names {wanted.uri}, which is not there ({error})") from error

    def _lines(self, wanted: Input) -> Iterator[str]:
        look = {
            "tiles": self._tiles, "manifest": self._manifest, "checkpoint": self._checkpoint, "weights": self._weights,
        }[wanted.kind]  # fmt: skip
        yield from (f"{each.uri} {each.size} {each.etag}" for each in look(wanted))

    def _tiles(self, wanted: Input) -> Iterator[StoredObject]:
        pattern = wanted.uri.rstrip("/")
        literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        prefix = f"{pattern}/" if literal == pattern else literal
        there = False
        for each in bucket.objects_beginning(self._account, prefix):
            tile = _TILE.fullmatch(each.uri)
            if tile is not None and _matches(tile["folder"], pattern):
                there = True
                yield each
        if not there:
            raise MissingInput(
                f"{wanted.key} names {wanted.uri}, where there are no tiles (z/x/y.tif): check the name, or make them "
                "with `python -m snowcover.prepare`."
            )

    def _manifest(self, wanted: Input) -> Iterator[StoredObject]:
        yield from self._file(wanted.uri, wanted)
        content = bucket.read(self._account, wanted.uri)
        named = _named_in(content or b"", wanted)
        for folder in sorted({uri.rsplit("/", 3)[0] for uri in named}):
            yield from (each for each in bucket.objects(self._account, folder) if each.uri in named)

    def _checkpoint(self, wanted: Input) -> Iterator[StoredObject]:
        try:
            yield from self._file(wanted.uri, wanted)
        except MissingInput:  # a run that is complete keeps the best one alone, which training takes then
            yield from self._file(f"{wanted.uri.rpartition('/')[0]}/{BEST}", wanted)

    def _weights(self, wanted: Input) -> Iterator[StoredObject]:
        yield from self._file(wanted.uri, wanted)

    def _file(self, uri: str, wanted: Input) -> list[StoredObject]:
        found = [each for each in bucket.objects_beginning(self._account, uri) if each.uri == uri]
        if not found:
            raise MissingInput(f"{wanted.key} names {wanted.uri}, which is not there: check the name.")
        return found


def inputs(config: JobConfig) -> list[Input]:
    """What a job reads beside its own config."""
    checkpoint = config.checkpoint
    named = {"checkpoint.init_from": checkpoint.init_from, "checkpoint.resume": checkpoint.resume}
    checkpoints = [Input(key, uri, "checkpoint") for key, uri in named.items() if uri]
    weights = [Input("model.encoder_weights", uri, "weights")] if (uri := weights_file(config.model)) else []
    layers = [Input(f"data.layers.{name}", uri, "tiles") for name, uri in config.data.layers_to_read.items()]
    return [*_data(config.data), *layers, *checkpoints, *weights]


def _data(data: "DataConfig") -> list[Input]:
    if data.manifest:
        return [Input("data.manifest", data.manifest, "manifest")]
    if data.generate:  # made by the job itself
        return []
    places = [uri for source in data.sources for uri in (*source.patterns, source.collect)]
    return [Input("data.sources", uri, "tiles") for uri in places]


def _named_in(content: bytes, wanted: Input) -> set[str]:
    """The tiles that a manifest names."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        named = {row[column] for row in rows for column in ("image", "mask")}
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        raise MissingInput(f"{wanted.key} names {wanted.uri}, which is no manifest.csv of a run.") from error
    if here := next((uri for uri in sorted(named) if not uri.startswith("s3://")), None):
        raise MissingInput(
            f"{wanted.key} names {wanted.uri}, whose tiles are on this machine ({here}, ...), where a job cannot read "
            "them: copy them with `aws s3 cp --recursive`, and give data.sources."
        )
    return named


def _matches(folder: str, pattern: str) -> bool:
    """Whole names, level by level, as in training."""
    names, wanted = folder.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))


def _sha256(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
