"""A digest of the files that a job reads from S3, which may change while the addresses in its config do not.

Computed from listings, one request per 1,000 files: sizes and ETags, which change with the content.
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
    """A job would read something that does not exist, or that only this machine has."""


@dataclass(frozen=True)
class Input:
    """Something that a job reads."""

    key: str
    """of the config"""
    uri: str
    kind: Literal["tiles", "manifest", "checkpoint", "weights"]
    """tiles: of a collect, or of all scenes that match a pattern"""


class InputDigests:
    """Digests of what jobs read: each address is listed once, however many jobs use it.

    Create a new one for each batch of jobs: files may change between batches.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._digests: dict[Input, str] = {}

    def of(self, config: JobConfig) -> str | None:
        """The digest of all that a job reads from S3; None if it reads nothing.

        Input that we may not list gets a unique digest, so that no result from other files is mistaken for the job's
        own; that is logged.

        Raises:
            MissingInput: the job would find nothing.
            AwsError
        """
        found = [f"{each.key} {self._digest(each)}" for each in inputs(config)]
        return _sha256(found) if found else None

    def _digest(self, wanted: Input) -> str:
        if wanted not in self._digests:
            self._digests[wanted] = self._inspect(wanted)
        return self._digests[wanted]

    def _inspect(self, wanted: Input) -> str:
        try:
            return _sha256(self._lines(wanted))
        except AccessDenied as error:
            log.warning(
                "%s So it is unknown whether an earlier job used the same files: none is reused or resumed for "
                "jobs that read %s: ask for permission to list it.", error, wanted.uri,
            )  # fmt: skip
            return secrets.token_hex(16)
        except NotFound as error:
            raise MissingInput(f"{wanted.key} names {wanted.uri}, which does not exist ({error})") from error

    def _lines(self, wanted: Input) -> Iterator[str]:
        listers = {
            "tiles": self._tiles, "manifest": self._manifest, "checkpoint": self._checkpoint, "weights": self._weights,
        }[wanted.kind]  # fmt: skip
        yield from (f"{each.uri} {each.size} {each.etag}" for each in listers(wanted))

    def _tiles(self, wanted: Input) -> Iterator[StoredObject]:
        pattern = wanted.uri.rstrip("/")
        literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        prefix = f"{pattern}/" if literal == pattern else literal
        has_tiles = False
        for each in bucket.objects_beginning(self._account, prefix):
            tile = _TILE.fullmatch(each.uri)
            if tile is not None and _matches(tile["folder"], pattern):
                has_tiles = True
                yield each
        if not has_tiles:
            raise MissingInput(
                f"{wanted.key} names {wanted.uri}, where there are no tiles (z/x/y.tif): check the name, or create "
                "them with `python -m snowcover.prepare`."
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
        except MissingInput:  # a complete run keeps only its best checkpoint, which training then uses
            yield from self._file(f"{wanted.uri.rpartition('/')[0]}/{BEST}", wanted)

    def _weights(self, wanted: Input) -> Iterator[StoredObject]:
        yield from self._file(wanted.uri, wanted)

    def _file(self, uri: str, wanted: Input) -> list[StoredObject]:
        found = [each for each in bucket.objects_beginning(self._account, uri) if each.uri == uri]
        if not found:
            raise MissingInput(f"{wanted.key} names {wanted.uri}, which does not exist: check the name.")
        return found


def inputs(config: JobConfig) -> list[Input]:
    """What a job reads in addition to its own config."""
    checkpoint = config.checkpoint
    named = {"checkpoint.init_from": checkpoint.init_from, "checkpoint.resume": checkpoint.resume}
    checkpoints = [Input(key, uri, "checkpoint") for key, uri in named.items() if uri]
    weights = [Input("model.encoder_weights", uri, "weights")] if (uri := weights_file(config.model)) else []
    layers = [Input(f"data.layers.{name}", uri, "tiles") for name, uri in config.data.layers_to_read.items()]
    return [*_data(config.data), *layers, *checkpoints, *weights]


def _data(data: "DataConfig") -> list[Input]:
    if data.manifest:
        return [Input("data.manifest", data.manifest, "manifest")]
    if data.generate:  # generated by the job itself
        return []
    places = [uri for source in data.sources for uri in (*source.patterns, source.collect)]
    return [Input("data.sources", uri, "tiles") for uri in places]


def _named_in(content: bytes, wanted: Input) -> set[str]:
    """The tiles that a manifest names."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        named = {row[column] for row in rows for column in ("image", "mask")}
    except (UnicodeDecodeError, csv.Error, KeyError, TypeError) as error:
        raise MissingInput(f"{wanted.key} names {wanted.uri}, which is not the manifest.csv of a run.") from error
    if local := next((uri for uri in sorted(named) if not uri.startswith("s3://")), None):
        raise MissingInput(
            f"{wanted.key} names {wanted.uri}, whose tiles are on this machine ({local}, ...), where a job cannot read "
            "them: copy them with `aws s3 cp --recursive`, and give data.sources."
        )
    return named


def _matches(folder: str, pattern: str) -> bool:
    """Whether a folder matches a pattern, level by level, as in training."""
    names, wanted = folder.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))


def _sha256(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()
