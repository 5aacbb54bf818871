"""Measure the two solvers of the deployment MIP side by side.

    python benches/python/solvers.py [--quick] [--json FILE]

Each instance is solved by HiGHS alone, by `solve_deployment` with HiGHS and by `solve_deployment`
with the native solver, one after the other; an instance gives one ratio. Instances that the LP
relaxation answers are counted and left out. Times are CPU time of the process with all its threads,
for ours the median of several calls. HiGHS gets two minutes for an instance; where it has no
proven answer by then, or ends without one, the ratio is a lower bound.
"""

import argparse
import contextlib
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from measuring import Floats, format_ratio, format_time
from rivals import solve_plain_mip
from stageroute import __version__, solve_deployment
from stageroute.errors import SolverError
from workloads import HARD_KINDS, hard_instance

Problem = tuple[Floats, Floats, Floats, float, int]

SIZES = {11: 30, 100: 20, 1_000: 6, 10_000: 1}
"""Instances for each number of models."""
QUICK_SIZES = {11: 2, 100: 1}
REPEATS = 5
DRAWS = 40
"""At most this number of problems is drawn until one needs a search."""
TIME_LIMIT = 120.0
ACCURACY = 1e-6
"""By which HiGHS alone may be off: its feasibility tolerance."""


@dataclass(frozen=True, slots=True)
class SolverRow:
    """One kind of problem at one size.

    Attributes
    ----------
    kind : str
    num_models : int
    searched, drawn : int
        How many instances needed a search and were measured, of how many.
    native, native_worst, highs, highs_alone : float
        Median seconds for an instance, and the most that the native solver took.
    ratio, ratio_min, alone_ratio, alone_ratio_min : float
        Seconds of HiGHS, as installed here and alone, over the native solver's: median and least.
    unanswered : int
        How often HiGHS, in either form, had no proven answer to a problem that has one.
    """

    kind: str
    num_models: int
    searched: int
    drawn: int
    native: float
    native_worst: float
    highs: float
    highs_alone: float
    ratio: float
    ratio_min: float
    alone_ratio: float
    alone_ratio_min: float
    unanswered: int


def timed(solve: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    begin = time.process_time()
    solve()
    return time.process_time() - begin


def searched_problems(kind: str, num_models: int, count: int) -> tuple[list[Problem], int]:
    """Draw until `count` problems need a search; also how many were drawn."""
    generator = np.random.default_rng(num_models)
    found: list[Problem] = []
    drawn = 0
    while len(found) < count and drawn < DRAWS * count:
        instance, slots = hard_instance(kind, num_models, generator)
        problem = instance.reward, instance.cost, instance.cap, instance.budget, slots
        drawn += 1
        if solve_deployment(*problem, solver="native").solved_by == "native":
            found.append(problem)
    return found, drawn


def compare(problem: Problem) -> tuple[float, float, float, bool]:
    """Seconds of the native solver, HiGHS as installed, and alone; whether that had no answer."""
    objectives = {"highs": math.nan, "alone": math.nan}

    def with_highs() -> None:
        with contextlib.suppress(SolverError):
            objectives["highs"] = solve_deployment(*problem, time_limit=TIME_LIMIT).objective

    def alone() -> None:
        objectives["alone"] = solve_plain_mip(*problem, time_limit=TIME_LIMIT)[0]

    ours = solve_deployment(*problem, solver="native")
    calls = [timed(lambda: solve_deployment(*problem, solver="native")) for _ in range(REPEATS)]
    highs, highs_alone = timed(with_highs), timed(alone)
    is_feasible = ours.status == "optimal"
    if is_feasible:
        for name, objective in objectives.items():
            accuracy = ACCURACY if name == "alone" else 1e-8
            assert math.isnan(objective) or abs(objective - ours.objective) <= accuracy, name
    is_unanswered = is_feasible and any(map(math.isnan, objectives.values()))
    return statistics.median(calls), highs, highs_alone, is_unanswered


def measure(kind: str, num_models: int, count: int) -> SolverRow | None:
    """Measure problems of one kind and size; None where none needs a search."""
    problems, drawn = searched_problems(kind, num_models, count)
    if not problems:
        return None
    ours, highs, alone, unanswered = zip(*map(compare, problems), strict=True)
    ratios = [b / a for a, b in zip(ours, highs, strict=True)]
    alone_ratios = [b / a for a, b in zip(ours, alone, strict=True)]
    return SolverRow(
        kind=kind,
        num_models=num_models,
        searched=len(problems),
        drawn=drawn,
        native=statistics.median(ours),
        native_worst=max(ours),
        highs=statistics.median(highs),
        highs_alone=statistics.median(alone),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        alone_ratio=statistics.median(alone_ratios),
        alone_ratio_min=min(alone_ratios),
        unanswered=sum(unanswered),
    )


def format_rows(rows: Sequence[SolverRow]) -> str:
    """Markdown, so that it can be pasted."""
    lines = [
        "| problems | N | measured | native | worst | HiGHS | ratio | least | HiGHS alone | ratio "
        "| least | unanswered |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        cells = (
            row.kind, f"{row.num_models:,}", f"{row.searched} of {row.drawn}",
            format_time(row.native), format_time(row.native_worst), format_time(row.highs),
            format_ratio(row.ratio), format_ratio(row.ratio_min), format_time(row.highs_alone),
            format_ratio(row.alone_ratio), format_ratio(row.alone_ratio_min), str(row.unanswered),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="The native solver against HiGHS, side by side.")
    parser.add_argument("--quick", action="store_true", help="a look: small problems, few of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE too")
    options = parser.parse_args(arguments)
    sizes = QUICK_SIZES if options.quick else SIZES
    jobs = [(kind, size, count) for size, count in sizes.items() for kind in HARD_KINDS]
    measured = [measure(*job) for job in track(jobs, transient=True)]
    rows = [row for row in measured if row is not None]
    print(format_rows(rows))
    if options.json is not None:
        report = {
            "version": __version__,
            "python": platform.python_version(),
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
