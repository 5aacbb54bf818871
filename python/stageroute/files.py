"""Files that are there whole or not at all, and JSON."""

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

STANDARD_OUTPUT: Final = Path("-")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a new file, which takes the place of `path` once it is on the disk.

    The file of that name is the old one or the new one, never half, also after a power cut.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
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
        sys.stdout.write(text)
        return
    # A device or a pipe is written to; only a file can be replaced, behind a link as well.
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")
