"""What the guards of production cost: one step with each of them on, against the bare step.

    python benches/python/guarded.py [--quick] [--json FILE]

As in `ratios.py`, contestants take turns in one process, and a round gives one ratio; here it is
the guarded time over the bare one. Two times are taken of each batch: CPU time of the thread that
routes, and wall-clock time, which has the journal's and the log's threads in it as far as they
compete for the interpreter and the cores. A tight loop is the worst case for both: it leaves them
nothing of the interpreter that they do not take. The decision log's sink only counts.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from measuring import FULL, QUICK, Effort
from stageroute import DecisionLog, HardLimit, JournalSettings, Model, StageRouter
from workloads import BUDGET, Workload, make_workload

NUM_MODELS = 11
GOAL = 3.0
LIMITS: dict[str, Any] = {
    "max_cost": 1.0,
    "requests_per_minute": 1e9,
    "tokens_per_minute": 1e12,
    "max_tokens": 10_000.0,
    "max_concurrent": 1_000,
}


@dataclass(frozen=True, slots=True)
class GuardedRow:
    """One line of the table: medians over the rounds, and the range of the ratios of CPU time."""

    what: str
    cpu: float
    wall: float
    cpu_ratio: float
    cpu_ratio_min: float
    cpu_ratio_max: float
    wall_ratio: float


def contestants(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Name what is measured, with the settings of its router and of its models."""
    hard = {"hard_limits": [HardLimit(1e6, "hour"), HardLimit(1e6, "total")]}

    def journal(name: str) -> dict[str, Any]:
        return {"journal": JournalSettings(folder / name, tail_bytes=1 << 26)}

    def log() -> dict[str, Any]:
        # Large enough to drop nothing; what a sink does with a batch is its own affair.
        return {"decision_log": DecisionLog(len, capacity=1 << 18, seconds=0.05)}

    return {
        "bare": ({}, {}),
        "hard limits": (hard, {"max_cost": 1.0}),
        "traffic limits": ({"max_age": 3600.0}, LIMITS),
        "journal": (journal("a.db"), {}),
        "decision log": (log(), {}),
        "everything": (
            hard | journal("b.db") | log() | {"max_age": 3600.0, "max_deployed": 11},
            LIMITS,
        ),
    }


def make_router(
    workload: Workload, settings: dict[str, Any], limits: dict[str, Any]
) -> StageRouter:
    """Make a router over the workload's models, all of them live."""
    caps = workload.settings.caps
    models = [Model(name, cap, **limits) for name, cap in zip(workload.names, caps, strict=True)]
    fixed = {"budget": BUDGET, "max_deployed": len(models), "seed": 1}
    return StageRouter(models, **(fixed | settings))


def step(router: StageRouter, workload: Workload, steps: int) -> Callable[[], tuple[float, float]]:
    """`route`, look up the outcome, `observe`; CPU and wall-clock seconds per step."""
    rows = workload.by_name * max(steps // len(workload.by_name), 1)

    def batch() -> tuple[float, float]:
        route, observe = router.route, router.observe
        cpu, wall = time.thread_time(), time.perf_counter()
        for row in rows:
            decision = route()
            reward, cost = row[decision.model]
            observe(decision, reward=reward, cost=cost)
        taken = time.thread_time() - cpu, time.perf_counter() - wall
        return taken[0] / len(rows), taken[1] / len(rows)

    return batch


def measure(effort: Effort) -> list[GuardedRow]:
    """Measure every contestant against the bare router."""
    workload = make_workload(NUM_MODELS)
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        routers = {
            name: make_router(workload, *settings)
            for name, settings in contestants(Path(folder)).items()
        }
        batches = {name: step(router, workload, effort.steps) for name, router in routers.items()}
        for batch in batches.values():
            batch()
        for _ in range(effort.rounds):
            for name, batch in batches.items():
                times.setdefault(name, []).append(batch())
        for router in routers.values():
            router.close()
    bare = times["bare"]
    rows = []
    for name, taken in times.items():
        ratios = [own[0] / plain[0] for own, plain in zip(taken, bare, strict=True)]
        walls = [own[1] / plain[1] for own, plain in zip(taken, bare, strict=True)]
        rows.append(
            GuardedRow(
                what=name,
                cpu=statistics.median(own[0] for own in taken),
                wall=statistics.median(own[1] for own in taken),
                cpu_ratio=statistics.median(ratios),
                cpu_ratio_min=min(ratios),
                cpu_ratio_max=max(ratios),
                wall_ratio=statistics.median(walls),
            )
        )
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What the guards of production cost.")
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, for machines")
    options = parser.parse_args(arguments)
    rows = measure(QUICK if options.quick else FULL)
    print(f"one route and one observe, {NUM_MODELS} live models; goal: at most {GOAL:g} x bare")
    print(f"{'':16} {'CPU us':>7} {'x bare':>7} {'(range)':>13} {'wall us':>8} {'x bare':>7}")
    for row in rows:
        spread = f"{row.cpu_ratio_min:.2f}-{row.cpu_ratio_max:.2f}"
        print(
            f"{row.what:16} {row.cpu * 1e6:7.3f} {row.cpu_ratio:7.2f} {spread:>13} "
            f"{row.wall * 1e6:8.3f} {row.wall_ratio:7.2f}"
        )
    if options.json is not None:
        report = {"goal": GOAL, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
