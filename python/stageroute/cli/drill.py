"""``stageroute drill`` on the command line."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from stageroute.cli.options import changes_of, read_changes
from stageroute.cli.output import Json, check_picture, check_writable, say, show_progress
from stageroute.datasets.trace import read_trace, synthetic_trace
from stageroute.drill.plot import save_plot
from stageroute.drill.recovery import measure_recovery
from stageroute.drill.report import check, format_report, to_json
from stageroute.drill.results import DrillSettings
from stageroute.drill.simulation import run_drill
from stageroute.files import writing

SYNTHETIC_QUERIES = 19_000

if TYPE_CHECKING:
    DrillChanges = dict[str, Any]
else:
    DrillChanges = changes_of(DrillSettings())


def drill(
    *,
    settings: Annotated[DrillChanges | None, Parameter(name="*")] = None,
    trace: Path | None = None,
    queries: int | None = None,
    plot: Path | None = None,
    progress: bool = True,
    json: Json = None,
) -> int:
    """Replay a trace through a router with everything switched on, in simulated time.

    Models fail, come, go and change meanwhile. Exit status 1 if a promise is broken.

    Parameters
    ----------
    trace
        Parquet with t_s, tokens_in, tokens_out; by default one that is generated.
    queries
        Use only the first N requests of the trace.
    plot
        Draw it (PNG, SVG).
    progress
        Show how far it is.
    """
    chosen = DrillSettings(**read_changes(settings or {}))
    check_writable(json, chosen.journal)
    check_picture(plot)
    if trace is None:
        requests = synthetic_trace(SYNTHETIC_QUERIES if queries is None else queries, chosen.seed)
    else:
        requests = read_trace(trace)
        requests = requests if queries is None else requests.head(queries)
    with show_progress("drill", is_shown=progress) as show:
        done = 0

        def on_request(more: int = 1) -> None:
            nonlocal done
            done += more
            show(done, len(requests))

        outcome = run_drill(requests, chosen, progress=on_request)
    promises, recoveries = check(outcome), measure_recovery(outcome)
    found = outcome, promises, recoveries
    try:
        if plot is not None:
            with writing(plot) as new:
                save_plot(outcome, recoveries, new, plot.suffix[1:])
    finally:
        say(format_report(*found), json, lambda: to_json(*found))
    broken = [promise.name for promise in promises if not promise.holds]
    if broken:
        print(f"stageroute: broken in this drill: {'; '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0
