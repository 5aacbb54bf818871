"""``stageroute scenarios``: its options, and what it does with them."""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from stageroute.cli_common import (
    EXIT_INTERRUPTED,
    add_run_options,
    add_table_options,
    check_writable,
    gather,
    read_options_table,
    write_json,
)
from stageroute.lab.scenarios.report import format_scenarios
from stageroute.lab.scenarios.runs import collect_runs, run_scenarios
from stageroute.lab.scenarios.scenarios import DRIFT, SCENARIOS, SERVICES, ScenarioSettings
from stageroute.policies import Limits

if TYPE_CHECKING:
    from stageroute.datasets import OutcomeTable

__all__ = ["register"]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "scenarios",
        help="late, sparse, missing and repeated feedback, and models that change",
        description="Drive the router through feedback as it really comes, several seeds in "
        "parallel: does the spend hold, and what does quality lose?",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=_run)
    parser.add_argument(
        "--budget", type=float, nargs="+", default=[0.0003, 0.001, 0.002], help="b, USD per query"
    )
    parser.add_argument(
        "--scenarios", nargs="+", default=list(SCENARIOS), choices=list(SCENARIOS),
        metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}",
    )  # fmt: skip
    parser.add_argument(
        "--rivals", action="store_true", help="run ParetoBandit too: pip install stageroute[rivals]"
    )
    add_run_options(parser)
    add_table_options(parser)
    group = parser.add_argument_group("stream and limits")
    defaults = ScenarioSettings((Limits(0.001),))
    group.add_argument("--queries", type=int, default=defaults.num_queries, metavar="T")
    group.add_argument("--stages", type=int, default=defaults.num_stages, metavar="K")
    group.add_argument("--initial-models", type=int, default=defaults.num_initial, metavar="N",
                       help="at the start; the others arrive evenly")  # fmt: skip
    group.add_argument("--max-deployed", type=int, default=4, metavar="M_MAX")
    group.add_argument("--throughput-cap", type=float, default=0.5, metavar="ALPHA")
    group.add_argument("--pacing-horizon", type=float, default=defaults.limits[0].pacing_horizon,
                       metavar="QUERIES", help="overspend is made good over so many")  # fmt: skip
    group.add_argument("--unknown-prices", action="store_true",
                       help="do not tell StageRoute each model's mean cost beforehand")  # fmt: skip
    group.add_argument("--forget-per-stage", type=float, metavar="FACTOR",
                       help="where drift is handled, forget at stage boundaries too")  # fmt: skip


def _settings(options: argparse.Namespace, table: "OutcomeTable") -> ScenarioSettings:
    limits = [
        Limits(
            budget=budget,
            max_deployed=options.max_deployed,
            throughput_cap=options.throughput_cap,
            pacing_horizon=options.pacing_horizon,
            use_prices=not options.unknown_prices,
        )
        for budget in options.budget
    ]
    return ScenarioSettings(
        limits=tuple(limits),
        scenarios=tuple(options.scenarios),
        services=tuple(SERVICES) if options.rivals else ("stageroute",),
        seeds=tuple(range(options.first_seed, options.first_seed + options.seeds)),
        drift=replace(DRIFT, forget_per_stage=options.forget_per_stage),
        num_queries=options.queries,
        num_stages=options.stages,
        num_initial=min(options.initial_models, table.num_models),
    )


def _run(options: argparse.Namespace) -> int:
    table = read_options_table(options)
    settings = _settings(options, table)
    check_writable(options.json)
    runs, interrupted = gather(
        run_scenarios(table, settings, options.workers),
        len(settings.jobs()),
        no_progress=options.no_progress,
    )
    if not runs:
        return EXIT_INTERRUPTED
    result = collect_runs(table, settings, runs)
    print(format_scenarios(result))
    write_json(options.json, result.to_json())
    return EXIT_INTERRUPTED if interrupted else 0
