"""Where the results of a command go, and how far it is."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

from cyclopts import Parameter

from stageroute.errors import InvalidInputError
from stageroute.files import STANDARD_OUTPUT, write_json

Json = Annotated[
    Path | None,
    Parameter(
        help="Write everything, for machines; - is standard output.", allow_leading_hyphen=True
    ),
]


def check_writable(*paths: Path | None) -> None:
    """Find out before the work that its result could not be written."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise InvalidInputError(f"{path}: there is no folder {path.parent}")


def say(text: str, json: Path | None = None, values: Callable[[], object] | None = None) -> None:
    """Print for people: to standard error where JSON, the `values`, goes to standard output."""
    print(text, file=sys.stderr if json == STANDARD_OUTPUT else sys.stdout)
    if json is not None and values is not None:
        write_json(json, values())


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
