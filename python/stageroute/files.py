"""Files that are there whole or not at all, and JSON."""

import errno
import glob
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

STANDARD_OUTPUT: Final = Path("-")

ABANDONED: Final = 3600.0
"""Seconds after which nobody writes to a file any more that was to take the place of another."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a new file, which takes the place of `path` once it is on the disk.

    The file of that name is the old one or the new one, never half, also after a power cut. What a
    process left that was killed in here, an hour ago or more, is removed.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 16}"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > ABANDONED:
                left.unlink()
    new = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        yield new
        _sync(new, os.O_RDWR)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    if os.name == "posix":  # other systems do not let folders be synchronised
        _sync(path.parent, os.O_RDONLY)


def is_device(path: Path) -> bool:
    """Whether a path is that of a device or a pipe, which is written to and never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield where to write what then takes the place of `path`; no link is followed to a file."""
    if is_device(path):
        yield path
        return
    if path.is_symlink():
        raise OSError(errno.ELOOP, "is a link, and no link is followed: name the file", str(path))
    with replacing(path) as new:
        yield new


def write_text(path: Path, text: str) -> None:
    """Write text to a file, whole or not at all."""
    with writing(path) as new:
        new.write_text(text, encoding="utf-8", errors="backslashreplace")


def _sync(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, values: object, *, allow_nan: bool = False) -> None:
    """Write plain JSON values to a file; where the path is ``-``, to standard output."""
    text = json.dumps(values, indent=1, allow_nan=allow_nan) + "\n"
    if path == STANDARD_OUTPUT:
        print(text, end="")
        return
    # A device or a pipe is written to; only a file can be replaced, behind a link as well.
    path = path.resolve()
    if is_device(path):
        path.write_text(text, encoding="utf-8")
        return
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")
