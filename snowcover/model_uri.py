"""Where a trained network lies: a run's folder, a checkpoint, a run of MLflow or a model there."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from snowcover import checkpoints, storage
from snowcover.data import geotiff, manifest
from snowcover.data.manifest import Manifest
from snowcover.errors import UserError
from snowcover.run_metadata import RunMetadata

RUN_ID = re.compile(r"(?:runs:/)?([0-9a-f]{32})")
FILE = re.compile(r".*\.(ckpt|pth|pt)")
MANIFEST = "manifest.csv"


class NoModel(UserError):
    """There is no trained network at an address."""


class NoManifest(UserError):
    """A checkpoint's run left no list of its tiles where the checkpoint lies."""


@dataclass(frozen=True)
class Found:
    """A checkpoint, where it was found, and the manifest of its run where there is one."""

    checkpoint: Mapping[str, Any]
    uri: str
    sha256: str
    manifest: Manifest | None

    @cached_property
    def metadata(self) -> RunMetadata | None:
        """What the checkpoint says of its run; None of one that is not ours.

        Raises:
            BadCheckpoint
        """
        return RunMetadata.of(self.checkpoint, self.uri)

    def tiles(self) -> Manifest:
        """The pairs of tiles that its run used.

        Raises:
            NoManifest
        """
        found = self.manifest or _manifest_near(self.uri)
        if found is None:
            raise NoManifest(
                f"{self.uri} has no {MANIFEST} next to it, so which tiles its run was trained on is unknown: give "
                "the run's folder, or its id in MLflow."
            )
        return found

    def tile_grid(self) -> dict[str, int]:
        """Zoom and size of the tiles by the manifest, for checkpoints that do not say: what can be found out."""
        if self.manifest is None:
            return {}
        zoom = self.manifest.zoom
        size = _size_of(self.manifest.pairs[0].image)
        facts = {"zoom": zoom, "tile_size": size}
        return {name: value for name, value in facts.items() if value is not None}


def find(address: str, tracking_uri: str | None) -> Found:
    """The network at an address.

    Raises:
        NoModel, BadCheckpoint, StorageError, CannotRecord
    """
    if address.startswith("models:/") or (RUN_ID.fullmatch(address) and not Path(address).exists()):
        return _in_mlflow(address, tracking_uri)
    uri = _checkpoint_at(address)
    checkpoint, sha256 = checkpoints.load_with_sha256(uri)
    found = Found(checkpoint, uri, sha256, None)
    return replace(found, manifest=_manifest_near(uri)) if _lacks_grid(found.metadata) else found


def _checkpoint_at(address: str) -> str:
    if storage.is_remote(address):
        return address if FILE.fullmatch(address) else _first_of(address, _listed(address))
    if Path(address).is_dir():
        return _first_of(address, {uri for uri in _in_folder(address) if Path(uri).is_file()})
    if not Path(address).is_file():
        raise NoModel(
            f"There is no trained network at {address}: give a run's folder, the path or s3:// of a .ckpt, the id of a "
            "run in MLflow, or a models:/ address."
        )
    return address


def _in_folder(folder: str) -> Iterator[str]:
    """Where checkpoints of a run's folder may lie, or those of a folder of checkpoints, the best ones first."""
    for name in (checkpoints.BEST, checkpoints.LAST):
        yield f"{folder.rstrip('/')}/checkpoints/{name}"
        yield f"{folder.rstrip('/')}/{name}"


def _listed(folder: str) -> set[str]:
    return {file.uri for file in storage.list_files(folder.rstrip("/") + "/")}


def _first_of(address: str, there: set[str]) -> str:
    found = next((uri for uri in _in_folder(address) if uri in there), None)
    if found is None:
        raise NoModel(
            f"{address} holds no {checkpoints.BEST}: give the folder of a run that has trained an epoch, or where its "
            "checkpoint.dir is."
        )
    return found


def _lacks_grid(metadata: RunMetadata | None) -> bool:
    return metadata is not None and (metadata.zoom is None or metadata.tile_size is None)


def _manifest_near(uri: str) -> manifest.Manifest | None:
    """Of the run whose folder a checkpoint lies in, or in whose checkpoints/."""
    folder = uri.rpartition("/")[0] or "."
    for place in (folder, folder.rpartition("/")[0] or "."):
        try:
            return manifest.read(f"{place}/{MANIFEST}")
        except (storage.StorageError, manifest.BadManifest):
            continue
    return None


def _size_of(uri: str) -> int | None:
    """The side of an image tile in pixels, None where it is not to be had any more."""
    try:
        with geotiff.environment(), geotiff.opened(uri, storage.read(uri)) as file:
            return int(file.height)
    except (storage.StorageError, geotiff.BrokenTile):
        return None


def _in_mlflow(address: str, tracking_uri: str | None) -> Found:
    from snowcover.tracking.fetch_model import fetch

    fetched = fetch(address, tracking_uri)
    return Found(fetched.checkpoint, fetched.uri, fetched.sha256, manifest.from_csv(fetched.manifest, fetched.uri))
