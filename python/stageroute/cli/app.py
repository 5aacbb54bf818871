"""Every command of ``stageroute``, and what becomes of errors."""

import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from stageroute._core import __version__
from stageroute.errors import InvalidInputError, StageRouteError

EXIT_ERROR: Final = 1
EXIT_WRONG_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_UNREAD: Final = 141

TRACEBACK: Final = "STAGEROUTE_TRACEBACK"
"""Set in the environment, it has errors shown with the place where they came from."""

SEVERAL: Final = Parameter(
    consume_multiple=True, negative_iterable=(), show_default=lambda value: value or None
)
"""Options that take several values take all that follow: --budget 0.001 0.002."""

_SILENT: Final = logging.NullHandler()
_SHOWN: Final = logging.StreamHandler()

app = App(
    name="stageroute",
    version=f"stageroute {__version__}",
    help="Decide which LLMs to keep live and which one serves each query.",
    help_format="plaintext",
    help_epilogue="Exit status: 0; 1 an error; 2 wrong usage; 3 something got worse (compare); "
    "130 interrupted; 141 nobody reads the output.",
    default_parameter=SEVERAL,
    result_action="return_value",
)
for where, text in {
    "studies:bench": "Compare policies over a table of outcomes.",
    "replay:replay": "Replay one policy and write down every decision.",
    "studies:scenarios": "Late, sparse, missing and repeated feedback, and models that change.",
    "studies:study": "Run a study of the lab.",
    "compare:compare": "Say what changed between two runs of a study.",
    "report:report": "Show results of studies as one web page.",
    "evaluate:evaluate": "What another policy would have earned and spent, from a decision log.",
    "drill:drill": "Rehearse production: outages, limits, prices, arrivals and a restart.",
}.items():
    app.command(f"stageroute.cli.{where}", name=where.partition(":")[2], help=text)
app.register_install_completion_command(help="Complete commands and options in this shell.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    0; 1 for an error; 2 for wrong usage; 130 where Ctrl-C ended it, 141 where nobody reads its
    output any more. ``compare`` adds 3: something got worse.
    """
    # What routers log during replays is counted in the results; lost processes are shown.
    logging.getLogger("stageroute").addHandler(_SILENT)
    logging.getLogger("stageroute.replay.parallel").addHandler(_SHOWN)
    for stream in (sys.stdout, sys.stderr):
        # A console that cannot show a character shows its number.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
    except CycloptsError:
        return EXIT_WRONG_USAGE
    except BrokenPipeError:
        _stop_writing()
        return EXIT_UNREAD
    except KeyboardInterrupt:
        print("stageroute: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if TRACEBACK in os.environ:
            raise
        print(f"stageroute: {_described(error)}", file=sys.stderr)
        return EXIT_ERROR
    return status


def _run(tokens: list[str]) -> int:
    if any("\0" in token for token in tokens):
        raise InvalidInputError("an argument holds a NUL character, which no name or path can")
    here = str(Path.cwd())  # where policies of one's own, module:Class, are looked for as well
    if here not in sys.path:
        sys.path.append(here)
    return app(tokens, exit_on_error=False) or 0


def _described(error: Exception) -> str:
    """Say what is wrong in one line."""
    if isinstance(error, OSError) and not isinstance(error, StageRouteError):
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "there is not enough memory for this"
    if isinstance(error, StageRouteError):
        return str(error)
    return f"{error!r}: a fault of this program, or of a policy; {TRACEBACK}=1 shows where it is"


def _stop_writing() -> None:
    """Leave what is still to be written unwritten, since nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
        with suppress(OSError, ValueError, AttributeError):
            os.dup2(nowhere, stream.fileno())
