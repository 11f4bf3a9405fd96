"""Archives that jobs leave: read to the last byte before anything in them is used."""

import gzip
import tarfile
import zlib
from pathlib import Path

from snowcover.errors import UserError, first_line

CHUNK_BYTES = 1 << 20


class BadArchive(UserError):
    """A job's archive cannot be unpacked safely."""


def unpack(archive: Path, folder: Path, uri: str) -> None:
    """Unpack a tar.gz into a new folder.

    Args:
        uri: its address, for error messages.

    Raises:
        BadArchive: it is damaged, names files outside the folder, or contains anything but files and folders.
    """
    folder.mkdir(parents=True)
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r:") as tar:
                for member in tar:
                    _refuse_unsafe(member, folder, uri)
                    tar.extract(member, folder, set_attrs=False)
            while stream.read(CHUNK_BYTES):
                pass  # tarfile stops at the last file, gzip compares its checksum at the end of the stream
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise BadArchive(f"{uri} cannot be unpacked ({first_line(error)}): nothing of it was saved.") from error


def _refuse_unsafe(member: tarfile.TarInfo, folder: Path, uri: str) -> None:
    """As tarfile's own filter does, which Python 3.11 has only since 3.11.4, and Debian 12's is older."""
    if not (member.isfile() or member.isdir()):
        raise BadArchive(f"{uri} contains {member.name}, which is neither file nor folder, so nothing was saved.")
    if not (folder / member.name).resolve().is_relative_to(folder.resolve()):
        raise BadArchive(f"{uri} contains {member.name}, which is outside of its folder, so nothing was saved.")
