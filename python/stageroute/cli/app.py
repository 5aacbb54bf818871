"""Every command of ``stageroute``, and what becomes of errors."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cyclopts import App, CycloptsError, Parameter

from stageroute._core import __version__
from stageroute.errors import StageRouteError

EXIT_ERROR: Final = 1
EXIT_WRONG_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

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
    "130 interrupted.",
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

    0; 1 for an error; 2 for wrong usage; 130 where Ctrl-C ended it. ``compare`` adds 3: something
    got worse.
    """
    # What routers log during replays is counted in the results; lost processes are shown.
    logging.getLogger("stageroute").addHandler(_SILENT)
    logging.getLogger("stageroute.replay.parallel").addHandler(_SHOWN)
    here = str(Path.cwd())  # where policies of one's own, module:Class, are looked for as well
    if here not in sys.path:
        sys.path.append(here)
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = app(tokens, exit_on_error=False)
    except CycloptsError:
        return EXIT_WRONG_USAGE
    except StageRouteError as error:
        print(f"stageroute: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("stageroute: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return status or 0
