"""The command line: every subcommand of ``stageroute``."""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stageroute._core import __version__
from stageroute.cli_common import (
    EXIT_INTERRUPTED,
    add_run_options,
    add_table_options,
    check_writable,
    gather,
    read_options_table,
    write_json,
)
from stageroute.config.confidence import CONFIDENCE_FAMILIES, Confidence
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import ARRIVAL_ORDERS, STREAM_ORDERS, Stream
from stageroute.deployment.solve import SOLVERS
from stageroute.drill.command import add_command as add_drill_command
from stageroute.errors import InvalidInputError, StageRouteError
from stageroute.lab import command as lab_command
from stageroute.lab.bench import BenchSettings, collect, default_num_queries, prepare, run_bench
from stageroute.lab.bench_report import format_result, save_plot
from stageroute.lab.page import command as page_command
from stageroute.lab.scenarios import command as cli_scenarios
from stageroute.off_policy.command import register as register_evaluate
from stageroute.policies import POLICIES, RIVALS, Limits
from stageroute.replay.parallel import show_losses, silence_router
from stageroute.replay.replay import ReplayResult, replay

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 0, 1 for an error, 2 for wrong usage.

    ``compare`` adds 3 (something got worse); 130 says that Ctrl-C ended it.
    """
    options = _parser().parse_args(arguments)
    silence_router()
    show_losses()
    try:
        status: int = options.run(options)
    except StageRouteError as error:
        print(f"stageroute: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stageroute: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stageroute",
        description="Decide which LLMs to keep live and which one serves each query.",
    )
    parser.add_argument("--version", action="version", version=f"stageroute {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    bench = commands.add_parser(
        "bench",
        help="compare policies over a table of outcomes",
        description="Replay policies over a table of outcomes, several seeds in parallel.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    bench.set_defaults(run=_bench)
    bench.add_argument(
        "--budget", type=float, nargs="+", default=[0.001], help="b, USD per query; several compare"
    )
    bench.add_argument(
        "--policies", nargs="+", default=["stageroute", "greedy", "uniform", "oracle"],
        choices=[*POLICIES, *RIVALS], metavar="POLICY",
        help=f"of {', '.join(POLICIES)}; with stageroute[rivals] also {', '.join(RIVALS)}",
    )  # fmt: skip
    add_run_options(bench)
    bench.add_argument("--plot", type=Path, metavar="FILE", help="draw regret and spend (PNG, SVG)")
    add_table_options(bench)
    _add_problem_options(bench)

    single = commands.add_parser(
        "replay",
        help="replay one policy and write down every decision",
        description="Replay one policy on one stream; write every decision to a CSV or NPZ file.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    single.set_defaults(run=_replay)
    single.add_argument("--budget", type=float, default=0.001, help="b, USD per query")
    single.add_argument("--policy", default="stageroute", choices=[*POLICIES, *RIVALS])
    single.add_argument("--seed", type=int, default=0)
    single.add_argument("--out", type=Path, required=True, help="decisions: .csv or .npz")
    add_table_options(single)
    _add_problem_options(single)
    add_drill_command(commands)
    lab_command.register(commands)
    page_command.register(commands)
    cli_scenarios.register(commands)
    register_evaluate(commands)
    return parser


def _add_problem_options(parser: argparse.ArgumentParser) -> None:
    stream = parser.add_argument_group("stream")
    stream.add_argument("--queries", type=int, metavar="T", help="36,497 if drawn i.i.d., else the "
                        "table's rows")  # fmt: skip
    stream.add_argument("--order", choices=STREAM_ORDERS, default="iid", help="of the queries")
    stream.add_argument("--stages", type=int, default=33, metavar="K")
    stream.add_argument("--initial-models", type=int, default=5, metavar="N",
                        help="at the start; the others arrive evenly")  # fmt: skip
    stream.add_argument(
        "--arrival-order",
        default="table",
        metavar="ORDER",
        help=f"{' or '.join(ARRIVAL_ORDERS)}, or model names with commas",
    )
    stream.add_argument(
        "--retire",
        nargs="+",
        default=[],
        metavar="MODEL=QUERY",
        help="the query from which a model can no longer be deployed",
    )

    limits = parser.add_argument_group("limits")
    limits.add_argument("--max-deployed", type=int, default=4, metavar="M_MAX")
    limits.add_argument("--throughput-cap", type=float, nargs="+", default=[0.5], metavar="ALPHA",
                        help="one for all models, or one for each in order of arrival")  # fmt: skip
    limits.add_argument("--solver", choices=SOLVERS, default=SOLVERS[0], help="of the deployments")
    limits.add_argument(
        "--pacing-horizon",
        default="500",
        metavar="QUERIES",
        help="overspend is made good over so many queries; 'off' as published",
    )

    defaults = Confidence()
    learner = parser.add_argument_group("learner")
    learner.add_argument("--confidence", choices=CONFIDENCE_FAMILIES, default=defaults.family)
    suits = "by default as suits the family"
    learner.add_argument("--gamma", type=float, help=f"width of the bounds; {suits}")
    learner.add_argument(
        "--growth", type=float, help=f"widening for models that lag behind; {suits}"
    )
    learner.add_argument("--min-visits", type=int, help=f"forced visits; {suits}")
    learner.add_argument("--initial-reward-ucb", type=float, default=defaults.initial_reward_ucb)
    learner.add_argument("--initial-cost-lcb", type=float, help="by default the cost floor, USD")
    learner.add_argument("--cost-floor", type=float, default=defaults.cost_floor, help="c1, USD")
    learner.add_argument("--cost-ceiling", type=float, help="c2, USD; by default 10 budgets, or "
                         "the dearest price where prices are known")  # fmt: skip
    learner.add_argument("--know-prices", action="store_true",
                         help="tell StageRoute each model's mean cost beforehand")  # fmt: skip


def _limits(options: argparse.Namespace, budget: float) -> Limits:
    caps = options.throughput_cap
    return Limits(
        budget=budget,
        max_deployed=options.max_deployed,
        throughput_cap=caps[0] if len(caps) == 1 else tuple(caps),
        confidence=Confidence(
            family=options.confidence,
            gamma=options.gamma,
            growth=options.growth,
            min_visits=options.min_visits,
            initial_reward_ucb=options.initial_reward_ucb,
            initial_cost_lcb=options.initial_cost_lcb,
            cost_floor=options.cost_floor,
            cost_ceiling=options.cost_ceiling,
        ),
        pacing_horizon=_pacing_horizon(options.pacing_horizon),
        use_prices=options.know_prices,
        solver=options.solver,
    )


def _pacing_horizon(text: str) -> float | None:
    if text == "off":
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidInputError(
            f"--pacing-horizon = {text!r}: must be a number of queries, or 'off'"
        ) from None


def _arrival_order(options: argparse.Namespace) -> str | tuple[str, ...]:
    order: str = options.arrival_order
    return order if order in ARRIVAL_ORDERS else tuple(order.split(","))


def _retirement(text: str) -> tuple[str, int]:
    name, _, query = text.rpartition("=")
    if not name or not query.isdecimal():
        raise InvalidInputError(f"--retire {text!r}: must be MODEL=QUERY, as in gpt-4=20000")
    return name, int(query)


def _settings(
    options: argparse.Namespace,
    table: OutcomeTable,
    budgets: Sequence[float],
    policies: Sequence[str],
    seeds: Sequence[int],
) -> BenchSettings:
    return BenchSettings(
        limits=tuple(_limits(options, budget) for budget in budgets),
        policies=tuple(policies),
        seeds=tuple(seeds),
        num_queries=options.queries or default_num_queries(table, options.order),
        num_stages=options.stages,
        order=options.order,
        num_initial=min(options.initial_models, table.num_models),
        arrival_order=_arrival_order(options),
        retirements=dict(_retirement(text) for text in options.retire),
    )


def _bench(options: argparse.Namespace) -> int:
    table = read_options_table(options)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    settings = _settings(options, table, options.budget, options.policies, seeds)
    for path in (options.json, options.plot):
        check_writable(path)
    total = len(settings.limits) * len(settings.policies) * len(settings.seeds)
    runs = run_bench(table, settings, options.workers)
    episodes, interrupted = gather(runs, total, no_progress=options.no_progress)
    if not episodes:
        return EXIT_INTERRUPTED
    result = collect(table, settings, episodes)
    print(format_result(result))
    write_json(options.json, result.to_json())
    if options.plot is not None:
        save_plot(result, options.plot)
    return EXIT_INTERRUPTED if interrupted else 0


def _replay(options: argparse.Namespace) -> int:
    if options.out.suffix not in (".csv", ".npz"):
        raise InvalidInputError(f"--out = {options.out}: must end in .csv or .npz")
    check_writable(options.out)
    table = read_options_table(options)
    settings = _settings(options, table, [options.budget], [options.policy], [options.seed])
    stream, policy = prepare(table, settings, options.policy, settings.limits[0], options.seed)
    result = replay(policy, stream, settings.num_stages)
    _write_decisions(options.out, stream, result)
    print(f"{stream.num_queries:,} decisions of {options.policy} written to {options.out}")
    return 0


def _write_decisions(path: Path, stream: Stream, result: ReplayResult) -> None:
    queries = np.arange(stream.num_queries)
    columns: dict[str, NDArray[np.generic]] = {
        "query": queries,
        "row": stream.rows,
        "stage": np.searchsorted(result.stage_starts, queries, side="right"),
        "model": np.asarray(stream.table.models)[result.arm],
        "probability": result.probability,
        "budget_price": result.budget_price,
        "reward": result.reward,
        "cost": result.cost,
    }
    if path.suffix == ".npz":
        np.savez_compressed(path, allow_pickle=False, **columns)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))


if __name__ == "__main__":
    sys.exit(main())
