"""Files that are there whole or not at all, and JSON."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["STANDARD_OUTPUT", "replacing", "write_json"]

STANDARD_OUTPUT: Final = Path("-")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a new file, which takes the place of `path` once it is complete."""
    new = path.with_name(f"{path.name}.new")
    yield new
    new.replace(path)


def write_json(path: Path, values: object, *, allow_nan: bool = False) -> None:
    """Write plain JSON values to a file; where the path is ``-``, to standard output."""
    text = json.dumps(values, indent=1, allow_nan=allow_nan) + "\n"
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")
