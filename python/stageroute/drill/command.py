"""``stageroute drill`` on the command line."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from stageroute.datasets.trace import read_trace, synthetic_trace
from stageroute.drill.plot import save_plot
from stageroute.drill.promises import check
from stageroute.drill.recovery import measure_recovery
from stageroute.drill.report import format_report, to_json
from stageroute.drill.settings import DrillSettings
from stageroute.drill.simulation import run_drill
from stageroute.errors import InvalidInputError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add_command"]

SYNTHETIC_QUERIES = 19_000


def add_command(commands: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``drill`` to the command line."""
    defaults = DrillSettings()
    parser = commands.add_parser(
        "drill",
        help="rehearse production: a trace with outages, limits, prices, arrivals and a restart",
        description="Replay the arrivals of a trace through a router with everything switched on, "
        "in simulated time, while models fail, come, go and change. Exit status 1 if a promise "
        "is broken.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=_drill)
    parser.add_argument("--trace", type=Path, metavar="FILE", help="parquet with t_s, tokens_in, "
                        "tokens_out; by default one that is generated")  # fmt: skip
    parser.add_argument("--queries", type=int, metavar="N", help="only the first so many")
    parser.add_argument("--budget", type=float, default=defaults.budget, help="b, USD per query")
    parser.add_argument("--hard-limit", type=float, metavar="USD", help="per clock hour; by "
                        "default 1.05 of what the budget allows in the busiest")  # fmt: skip
    parser.add_argument("--max-deployed", type=int, default=defaults.max_deployed, metavar="M_MAX")
    parser.add_argument("--stages", type=int, default=defaults.stages, metavar="K")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--journal", type=Path, metavar="PATH", help="restart from a journal made "
                        "there, in place of a snapshot")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, for machines")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it (PNG, SVG)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def _drill(options: argparse.Namespace) -> int:
    for path in (options.json, options.plot, options.journal):
        if path is not None and not path.parent.is_dir():
            raise InvalidInputError(f"{path}: there is no folder {path.parent}: make it first")
    settings = DrillSettings(
        budget=options.budget,
        hard_limit=options.hard_limit,
        max_deployed=options.max_deployed,
        stages=options.stages,
        seed=options.seed,
        journal=options.journal,
    )
    if options.trace is None:
        wanted = SYNTHETIC_QUERIES if options.queries is None else options.queries
        trace = synthetic_trace(wanted, options.seed)
    else:
        trace = read_trace(options.trace)
        trace = trace if options.queries is None else trace.head(options.queries)
    with tqdm(total=len(trace), unit="request", disable=options.no_progress or None) as bar:
        outcome = run_drill(trace, settings, progress=bar.update)
    promises, recoveries = check(outcome), measure_recovery(outcome)
    print(format_report(outcome, promises, recoveries))
    if options.json is not None:
        text = json.dumps(to_json(outcome, promises, recoveries), indent=1, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.plot is not None:
        save_plot(outcome, recoveries, options.plot)
    broken = [promise.name for promise in promises if not promise.holds]
    if broken:
        print(f"stageroute: broken in this drill: {'; '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0
