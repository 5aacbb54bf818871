"""Measure every pair of contestants side by side and print the ratios.

    python benches/python/ratios.py [--quick] [--json FILE]

Each pair runs in one process, in rounds: ours, theirs, ours, theirs, and so on, so that whatever
slows the machine down for a while slows both. A round gives one ratio (their time over ours); the
table has the median and the range over the rounds. The garbage collector is off inside a round, as
`timeit` does it. Compilation and warm-up come before the first round.

Times are CPU time of the thread, so that a neighbour's turn on the core does not count; wall-clock
time where the work leaves the thread (deployment, threads) and for our side of the replay, which
reports its own.
"""

import argparse
import json
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from measuring import FULL, QUICK, Batch, Effort, Floats, Row, compare, format_table
from numba_rival import NumbaRouter
from rivals import KeptLp, NumpyHighsRouter, Settings, TunedHighsRouter, solve_plain_mip
from stageroute import __version__, solve_deployment, solve_routing_lp
from stageroute.datasets import routerbench_synthetic
from stageroute.datasets.streams import Stream, draw_stream, stage_starts
from stageroute.policies import Limits, Setting, make_policy
from stageroute.replay import replay
from steps import MODEL_COUNTS, step_numba, step_ours, step_rows
from workloads import BUDGET, deployment_instances, make_workload

cpu_time = time.thread_time

MAX_DEPLOYED = 4
THREAD_BATCHES = 16
REPLAY_QUERIES = 36_497
REPLAY_STAGES = 33
REPLAY_BUDGET = 0.001

# ---- the LP alone ------------------------------------------------------------------------------


Change = tuple[int, float, float]


def lp_ours(reward: Floats, cost: Floats, cap: Floats, changes: Sequence[Change]) -> Batch:
    """Solve from arrays after each change of an arm."""

    def batch() -> float:
        start = cpu_time()
        for arm, new_reward, new_cost in changes:
            reward[arm], cost[arm] = new_reward, new_cost
            solve_routing_lp(reward, cost, cap, BUDGET)
        return (cpu_time() - start) / len(changes)

    return batch


def lp_highs(lp: KeptLp, changes: Sequence[Change]) -> Batch:
    """Solve from the last basis after each change of an arm."""

    def batch() -> float:
        start = cpu_time()
        for arm, new_reward, new_cost in changes:
            lp.set_reward(arm, new_reward)
            lp.set_cost(arm, new_cost)
            lp.solve()
        return (cpu_time() - start) / len(changes)

    return batch


def lp_rows(effort: Effort) -> Iterator[Row]:
    """`solve_routing_lp` against a kept HiGHS object; one arm changes between two solves."""
    for num_models in MODEL_COUNTS:
        workload = make_workload(num_models)
        router = NumbaRouter(workload.settings, 1)
        step_numba(router, workload, effort.warm_up)()
        reward, cost = router.reward_ucb.copy(), router.cost_lcb.copy()
        cap = np.array(workload.settings.caps)
        generator = np.random.default_rng(0)
        changes = [
            (arm, float(reward[arm] * u), float(cost[arm] * v))
            for arm in generator.integers(num_models, size=effort.slow_steps).tolist()
            for u, v in [generator.uniform(0.99, 1.0, 2)]
        ]
        kept = [KeptLp(reward, cost, cap, BUDGET, is_tuned=tuned) for tuned in (False, True)]
        names = ("HiGHS kept warm", "the same, tuned")
        yield from compare(
            f"LP alone, M = {num_models}",
            lp_ours(reward, cost, cap, changes),
            [(name, lp_highs(lp, changes), None) for name, lp in zip(names, kept, strict=True)],
            effort.rounds,
            "ours from nothing each time, with arrays, certificate and cap prices",
        )


# ---- replay ------------------------------------------------------------------------------------


def replay_ours(stream: Stream, limits: Limits) -> Batch:
    """Time the native loop over the whole stream, without the boundaries."""

    def batch() -> float:
        policy = make_policy("stageroute", Setting(stream, limits, REPLAY_STAGES, 1))
        return replay(policy, stream, REPLAY_STAGES).seconds_routing / stream.num_queries

    return batch


def replay_highs(
    make: type[NumpyHighsRouter], stream: Stream, limits: Limits, prefix: int
) -> Batch:
    """Time the loop over a prefix of the stream, without the boundaries."""
    table, caps = stream.table, limits.caps(stream.table.num_models)
    starts = stage_starts(stream.num_queries, REPLAY_STAGES)
    ends = [*starts[1:].tolist(), stream.num_queries]
    outcomes = [
        list(zip(table.reward[row].tolist(), table.cost[row].tolist(), strict=True))
        for row in stream.rows[:prefix]
    ]
    settings = Settings(tuple(caps.tolist()), limits.budget, 10.0 * limits.budget)

    def batch() -> float:
        router, seconds = make(settings, 1), 0.0
        for start, end in zip(starts.tolist(), ends, strict=True):
            if start >= prefix:
                break
            candidates = stream.candidates(start)
            solution = solve_deployment(
                router.reward_ucb[candidates],
                router.cost_lcb[candidates],
                caps[candidates],
                limits.budget,
                limits.max_deployed,
            )
            router.deploy(candidates[list(solution.deployed)])
            before = cpu_time()
            for query in outcomes[start : min(end, prefix)]:
                arm, _ = router.route()
                router.observe(arm, *query[arm])
            seconds += cpu_time() - before
        return seconds / prefix

    return batch


def replay_rows(effort: Effort) -> Iterator[Row]:
    """Compare a whole experiment: the native loop against a Python loop with HiGHS."""
    stream = draw_stream(routerbench_synthetic(), 0, num_queries=REPLAY_QUERIES, num_initial=5)
    limits = Limits(REPLAY_BUDGET, max_deployed=MAX_DEPLOYED)
    prefix = effort.replay_prefix
    yield from compare(
        f"replay, T = {REPLAY_QUERIES}, N = {stream.table.num_models}",
        replay_ours(stream, limits),
        [
            ("numpy + HiGHS loop", replay_highs(NumpyHighsRouter, stream, limits, prefix), 1_000.0),
            ("the same, tuned", replay_highs(TunedHighsRouter, stream, limits, prefix), 1_000.0),
        ],
        -(-effort.rounds // 3),
        f"per query; ours over the whole stream, theirs over {prefix} queries; boundaries left out",
    )


# ---- deployment --------------------------------------------------------------------------------


def deployment_rows(effort: Effort) -> Iterator[Row]:
    """`solve_deployment` against HiGHS without the relaxation first, same instances."""
    for num_models in (11, 32, 100):
        instances = deployment_instances(num_models, effort.instances)
        arguments = [(i.reward, i.cost, i.cap, i.budget, MAX_DEPLOYED) for i in instances]
        solved_by = [solve_deployment(*argument).solved_by for argument in arguments]

        def timed(solve: Callable[..., object], arguments: Any = arguments) -> Batch:
            def batch() -> float:
                start = time.perf_counter()
                for argument in arguments:
                    solve(*argument)
                return (time.perf_counter() - start) / len(arguments)

            return batch

        yield from compare(
            f"deployment, N = {num_models}",
            timed(solve_deployment),
            [("HiGHS alone", timed(solve_plain_mip), None)],
            max(effort.rounds // 5, 1),
            f"{solved_by.count('lp')} of {len(instances)} by the relaxation",
        )


# ---- threads -----------------------------------------------------------------------------------


def thread_rows(effort: Effort) -> Iterator[Row]:
    """Compare one thread with two on one router; the same number of steps in all.

    A batch lasts many of the interpreter's switch intervals, which are 5 ms.
    """
    workload = make_workload(11)
    router = workload.make_router(seed=1)
    step_ours(router, workload, effort.warm_up)()
    steps = THREAD_BATCHES * effort.steps
    whole, half = (step_ours(router, workload, count) for count in (steps, steps // 2))

    def wall(*work: Batch) -> Batch:
        def batch() -> float:
            threads = [threading.Thread(target=part) for part in work]
            start = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return (time.perf_counter() - start) / steps

        return batch

    yield from compare(
        "two threads, one router, M = 11",
        wall(half, half),
        [("one thread", wall(whole), None)],
        effort.rounds,
        "above 1 means that two threads get more done than one",
    )


MEASUREMENTS: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "step": step_rows,
    "lp": lp_rows,
    "replay": replay_rows,
    "deployment": deployment_rows,
    "threads": thread_rows,
}


def measure(effort: Effort, only: Sequence[str] = tuple(MEASUREMENTS)) -> list[Row]:
    """Run the named measurements."""
    return [row for name in track(only, transient=True) for row in MEASUREMENTS[name](effort)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Ratios to rival implementations, side by side.")
    parser.add_argument("--quick", action="store_true", help="a look: seconds, wide ranges")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    parser.add_argument(
        "--only", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS),
        help="which measurements; all by default",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else FULL
    rows = measure(effort, options.only)
    print(format_table(rows))
    if options.json is not None:
        report = {
            "version": __version__,
            "python": platform.python_version(),
            "effort": asdict(effort),
            "rows": [asdict(row) | {"reached": row.verdict} for row in rows],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
