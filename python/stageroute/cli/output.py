"""Where the results of a command go, and how far it is."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Protocol

from cyclopts import Parameter

from stageroute.checks import import_extra
from stageroute.errors import InvalidInputError
from stageroute.files import STANDARD_OUTPUT, is_device, write_json

MOST_NAME: Final = 230
"""Bytes in the name of a file, which is written under a somewhat longer one first."""

PICTURES: Final = (".png", ".svg", ".pdf")

Json = Annotated[
    Path | None,
    Parameter(
        help="Write everything, for machines; - is standard output.", allow_leading_hyphen=True
    ),
]


def check_writable(*paths: Path | None) -> None:
    """Find out before the work that its result could not be written."""
    for path in paths:
        if path is not None and path != STANDARD_OUTPUT:
            try:
                _check_writable(path)
            except OSError as error:
                raise InvalidInputError(f"{path}: {error.strerror}") from error


def _check_writable(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise InvalidInputError(f"{path}: there is no folder {folder}")
    if path.is_dir():
        raise InvalidInputError(f"{path}: is a folder: name a file")
    if is_device(path):
        return
    if path.is_symlink():
        raise InvalidInputError(f"{path}: is a link, and no link is followed: name the file")
    if not os.access(folder, os.W_OK):
        raise InvalidInputError(f"{path}: nothing can be written to folder {folder}")
    if len(os.fsencode(path.name)) > MOST_NAME:
        raise InvalidInputError(f"{path}: the name of a file has at most {MOST_NAME} bytes")


def check_picture(path: Path | None) -> None:
    """Find out the same of a picture."""
    check_writable(path)
    if path is not None:
        import_extra("matplotlib", "a picture", "plot")
        if path.suffix.lower() not in PICTURES:
            raise InvalidInputError(f"--plot = {path}: must end in {', '.join(PICTURES)}")


def say(text: str, json: Path | None = None, values: Callable[[], object] | None = None) -> None:
    """Write JSON, the `values`, where that is wanted; then print for people.

    They read standard error where JSON goes to standard output.
    """
    if json is not None and values is not None:
        write_json(json, values())
    print(text, file=sys.stderr if json == STANDARD_OUTPUT else sys.stdout)


class Progress(Protocol):
    """Hears of how much is finished, and of how much there is."""

    def __call__(self, finished: int, total: int, /) -> None:
        """Take note of it."""


@contextmanager
def show_progress(unit: str, *, is_shown: bool) -> Iterator[Progress]:
    """Show a bar while something runs, where standard error is a terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield lambda _finished, _total: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    with Bar(
        *Bar.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task(unit, total=None)
        yield lambda finished, total: bar.update(task, completed=finished, total=total)
