"""Snapshots in files: one header for people, one body for the router.

A snapshot is four parts, the first three of them lines: what it is; a JSON object; the SHA-256 of
that object's line and the body; the body. The object holds what the caller says of the body, and
``format``, ``library`` (the release that wrote it) and ``length``.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stageroute._core import __version__
from stageroute.errors import (
    InvalidInputError,
    SnapshotCorruptError,
    SnapshotMismatchError,
    SnapshotVersionError,
)
from stageroute.files import replacing

MAGIC: Final = b"stageroute snapshot"
FORMAT: Final = 1
OWN_FIELDS: Final = frozenset({"format", "library", "length"})


def write(path: str | Path, header: Mapping[str, Any], body: bytes) -> None:
    """Write a snapshot, so that the file of that name is the old one or the new one, never half."""
    data = dumps(header, body)
    with replacing(Path(path)) as new:
        new.touch(mode=0o600)
        new.write_bytes(data)


def dumps(header: Mapping[str, Any], body: bytes) -> bytes:
    """Return the bytes of a snapshot: what JSON can hold of the body, and the body."""
    taken = OWN_FIELDS & header.keys()
    if taken:
        raise InvalidInputError(f"header has {sorted(taken)}: these fields are filled in")
    fields = {**header, "format": FORMAT, "library": __version__, "length": len(body)}
    line = json.dumps(fields, allow_nan=False).encode()
    return b"\n".join((MAGIC, line, _sha256(line, body), body))


def loads(data: bytes, source: str) -> tuple[dict[str, Any], bytes]:
    """Return what was said of the body, with the fields that `dumps` added, and the body.

    A `SnapshotVersionError` or `SnapshotCorruptError` names where it comes from, its `source`.
    """
    magic, *lines = data.split(b"\n", 3)
    if magic != MAGIC:
        is_start = not lines and MAGIC.startswith(magic)
        what = "is cut short" if is_start else "does not start as a snapshot"
        raise SnapshotCorruptError(f"{source} {what}")
    header = _parse(lines[0], source) if len(lines) > 1 else {}
    if len(lines) < len(("header", "sha256", "body")):
        raise SnapshotCorruptError(f"{source} is cut short: it ends within its header")
    line, sha256, body = lines
    expected = header["length"]
    if len(body) != expected:
        what = "is cut short" if len(body) < expected else "was extended"
        raise SnapshotCorruptError(f"{source} {what}: {len(body)} bytes of state, not {expected}")
    if sha256 != _sha256(line, body):
        raise SnapshotCorruptError(f"{source} is damaged: its SHA-256 does not fit")
    return header, body


def require_fingerprint(source: str, known: Sequence[str], found: object) -> None:
    """Raise `SnapshotMismatchError` unless the state is of a version that is known."""
    if found not in known:
        raise SnapshotMismatchError(
            f"{source} belongs to a router of another configuration\n"
            f"  there: {found}\n"
            f"  here:  {known[-1]}"
        )


def _parse(line: bytes, source: str) -> dict[str, Any]:
    """Read the header of a snapshot of this format, and say so if it is of a later one."""
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        raise SnapshotCorruptError(f"{source} is damaged: its header does not read as one")
    # Before anything else: a later format may have other rules for the rest.
    if header["format"] > FORMAT:
        raise SnapshotVersionError(
            f"{source} has format {header['format']}, written by stageroute "
            f"{header.get('library')}; this release ({__version__}) reads format {FORMAT}: "
            "upgrade stageroute"
        )
    if type(header.get("length")) is not int:
        raise SnapshotCorruptError(f"{source} is damaged: its header lacks a length")
    return header


def _sha256(line: bytes, body: bytes) -> bytes:
    digest = hashlib.sha256(line + b"\n")
    digest.update(body)
    return digest.hexdigest().encode()
