"""What the optimisation costs, how it scales, and what earlier solutions save.

    python benches/python/optimisation.py [--quick]

Contestants of a row run in one process in turn, as in ratios.py: a shared machine slows all of them
down alike. Times are CPU time, of all threads where HiGHS takes part. Printed are tables:

1. the routing LP by the number of live models: solved from arrays, and a whole routing step, in
   which it is kept warm;
2. the deployment by the number of candidates: HiGHS, and the native search;
3. the deployments that StageRoute solves in a replay: HiGHS without and with the last live set as
   a starting point, and the native search;
4. how often the optimal basis of the routing LP stays the same from query to query, and the live
   set from stage to stage;
5. what part of a replay is deployment.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from measuring import Batch, format_time, interleave
from replays import CASES, Case, Row, median_ratio, reuse_rows, share_rows, warm_start_rows
from stageroute import solve_deployment, solve_routing_lp
from stageroute.replay.parallel import silence_router
from workloads import BUDGET, Floats, Instance, deployment_instances, make_workload

MAX_DEPLOYED: Final = 4


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    solves: int
    queries: int
    live: tuple[int, ...]
    candidates: tuple[int, ...]
    highs_up_to: int
    cases: tuple[Case, ...]


FULL: Final = Scale(
    5, 2_000, 36_497, (2, 4, 8, 16, 32, 64), (10, 30, 100, 300, 1_000, 3_000, 10_000), 1_000, CASES
)
QUICK: Final = Scale(2, 100, 3_300, (4, 8), (10, 30), 30, CASES[1:5:3])


def table(columns: Row, rows: Sequence[Row]) -> str:
    """Format Markdown."""
    lines = [columns, ("---", *["---:"] * (len(columns) - 1)), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


# ---- the routing LP ----------------------------------------------------------------------------


def lp_rows(scale: Scale) -> Sequence[Row]:
    """Compare solving from arrays with a step that keeps the LP warm."""
    rows: list[Row] = []
    for num_live in scale.live:
        workload = make_workload(num_live)
        router = workload.make_router(seed=1)
        outcomes = workload.by_name

        def step(times: int, router: Any = router, outcomes: Any = outcomes) -> None:
            for k in range(times):
                decision = router.route()
                reward, cost = outcomes[k % len(outcomes)][decision.model]
                router.observe(decision, reward=reward, cost=cost)

        def steps(step: Any = step) -> float:
            start = time.thread_time()
            step(scale.solves)
            return (time.thread_time() - start) / scale.solves

        step(5_000)
        bounds = router._control.planning()  # noqa: SLF001  # what its LP works on
        cold = _solves(bounds["reward_ucb"], bounds["cost_lcb"], bounds["share"], scale.solves)
        first, second = interleave([cold, steps], scale.rounds)
        rows.append(
            (str(num_live), format_time(statistics.median(first)),
             format_time(statistics.median(second)), median_ratio(first, second))
        )  # fmt: skip
    return rows


def _solves(reward: Floats, cost: Floats, share: Floats, times: int) -> Batch:
    def batch() -> float:
        start = time.thread_time()
        for _ in range(times):
            solve_routing_lp(reward, cost, share, BUDGET)
        return (time.thread_time() - start) / times

    return batch


# ---- the deployment ----------------------------------------------------------------------------


def deployment_rows(scale: Scale) -> Sequence[Row]:
    """Compare HiGHS with the native search on drawn problems."""
    rows: list[Row] = []
    for size in scale.candidates:
        instances = deployment_instances(size, 10 if size < 1_000 else 3)
        names = ("highs", "native") if size <= scale.highs_up_to else ("native",)
        taken = interleave([_deployments(instances, name) for name in names], scale.rounds)
        times = [format_time(statistics.median(one)) for one in taken]
        ratio = median_ratio(*taken) if len(taken) == 2 else "-"
        rows.append((f"{size:,}", *(["-"] * (2 - len(times))), *times, ratio))
    return rows


def _deployments(instances: Sequence[Instance], solver: str) -> Batch:
    def batch() -> float:
        start = time.process_time()
        for one in instances:
            solve_deployment(one.reward, one.cost, one.cap, one.budget, MAX_DEPLOYED, solver=solver)
        return (time.process_time() - start) / len(instances)

    return batch


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds; says that it runs")
    scale = QUICK if parser.parse_args(arguments).quick else FULL
    silence_router()
    parts: tuple[tuple[str, Row, Callable[[Scale], Sequence[Row]]], ...] = (
        ("The routing LP", ("live models", "from arrays", "a whole step, warm", "ratio"), lp_rows),
        ("The deployment", ("candidates", "HiGHS", "native", "ratio"), deployment_rows),
        (
            "Starting from the last live set",
            ("replay", "by the LP alone", "HiGHS, cold", "HiGHS, warm", "native",
             "cold / warm", "cold / native"),
            lambda scale: warm_start_rows(scale.cases, scale.queries, min(scale.rounds, 3)),
        ),
        (
            "Reuse",
            ("replay", "basis stays", "first third", "last third", "set stays", "of its members"),
            lambda scale: reuse_rows(scale.cases, scale.queries),
        ),
        (
            "Share of a replay",
            ("replay", "solver", "a boundary", "a query", "share of boundaries"),
            lambda scale: share_rows(scale.cases, scale.queries),
        ),
    )  # fmt: skip
    for title, columns, rows in parts:
        print(f"\n**{title}**\n\n{table(columns, rows(scale))}", flush=True)


if __name__ == "__main__":
    main()
