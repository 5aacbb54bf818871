"""What the optimisation did in replays of StageRoute: warm starts, reuse, its share of the time."""

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest.mock import patch

import numpy as np

from measuring import Batch, format_ratio, format_time, interleave
from stageroute import solve_deployment, solve_routing_lp
from stageroute.deployment import plan
from stageroute.deployment.solve import DeploymentSolution
from stageroute.policies import Limits, RewardPrior, Setting, StageRoutePolicy
from stageroute.replay import ReplayResult, replay
from stageroute.workloads import BuiltIn, LargePool, StateOfTheArt, Workload

__all__ = [
    "CASES",
    "Case",
    "Row",
    "Watched",
    "median_ratio",
    "reuse_rows",
    "share_rows",
    "warm_start_rows",
]

STAGES: Final = 33

Row = tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A replay of StageRoute.

    Four slots and caps of one half leave nothing for a MIP solver to do (a vertex of the LP has at
    most two fractional arms); caps of 0.3 do.
    """

    label: str
    workload: Workload
    limits: Limits


SOME: Final = Limits(0.002, use_prices=True)
MANY: Final = Limits(0.003, use_prices=True, reward_prior=RewardPrior("scores", 0.05))

CASES: Final = (
    Case("11 models, b = 0.0003", BuiltIn(), Limits(0.0003, use_prices=True)),
    Case("11 models, b = 0.001", BuiltIn(), Limits(0.001, use_prices=True)),
    Case("11 models, all live", BuiltIn(), Limits(0.001, max_deployed=11, use_prices=True)),
    Case("50 models", StateOfTheArt(), SOME),
    Case("50 models, α = 0.3", StateOfTheArt(), replace(SOME, throughput_cap=0.3)),
    Case(
        "1,000 models, scores ± 0.05",
        LargePool(1_000),
        MANY,
    ),
    Case(
        "1,000 models, scores ± 0.05, α = 0.3", LargePool(1_000), replace(MANY, throughput_cap=0.3)
    ),
)


def median_ratio(theirs: Sequence[float], ours: Sequence[float]) -> str:
    """Return the median over the rounds of their time over ours."""
    return format_ratio(statistics.median(a / b for a, b in zip(theirs, ours, strict=True)))


@dataclass(frozen=True)
class Posed:
    """A deployment problem as a replay posed it, and its answer."""

    arguments: tuple[Any, ...]
    previous: Sequence[int]
    current_price: float
    answer: DeploymentSolution

    def solve(self, solver: str, *, is_warm: bool) -> None:
        """Solve it again."""
        solve_deployment(
            *self.arguments,
            solver=solver,
            previous=self.previous if is_warm else None,
            current_price=self.current_price,
        )


def posed_problems(case: Case, queries: int) -> list[Posed]:
    """Return the deployment problems of a replay."""
    posed: list[Posed] = []

    def solve(*arguments: Any, **options: Any) -> DeploymentSolution:
        answer = solve_deployment(*arguments, **options)
        copies = tuple(np.copy(one) if isinstance(one, np.ndarray) else one for one in arguments)
        posed.append(Posed(copies, options["previous"], options["current_price"], answer))
        return answer

    with patch.object(plan, "solve_deployment", solve):
        run(case, queries)
    return posed


def run(case: Case, queries: int) -> ReplayResult:
    """Replay StageRoute."""
    stream = case.workload.stream(queries, 0)
    return replay(StageRoutePolicy(Setting(stream, case.limits, STAGES, 0)), stream, STAGES)


def warm_start_rows(cases: Sequence[Case], queries: int, rounds: int) -> Sequence[Row]:
    """Compare HiGHS with and without the last live set, and the native search."""
    rows: list[Row] = []
    for case in cases:
        problems = posed_problems(case, queries)
        searched = [one for one in problems if one.answer.solved_by != "lp"]
        by_lp = f"{len(problems) - len(searched)} of {len(problems)}"
        if not searched:
            rows.append((case.label, by_lp, "-", "-", "-", "-", "-"))
            continue
        batches = [
            _again(searched, "highs", is_warm=False),
            _again(searched, "highs", is_warm=True),
            _again(searched, "native", is_warm=False),
        ]
        cold, warm, native = interleave(batches, rounds)
        times = [format_time(statistics.median(one)) for one in (cold, warm, native)]
        rows.append(
            (case.label, by_lp, *times, median_ratio(cold, warm), median_ratio(cold, native))
        )
    return rows


def _again(problems: Sequence[Posed], solver: str, *, is_warm: bool) -> Batch:
    def batch() -> float:
        start = time.process_time()
        for problem in problems:
            problem.solve(solver, is_warm=is_warm)
        return (time.process_time() - start) / len(problems)

    return batch


# ---- reuse -------------------------------------------------------------------------------------


class Watched(StageRoutePolicy):
    """StageRoute, with the basis of its LP looked up before every query."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._caps = setting.caps()
        self._live: tuple[int, ...] = ()
        self._last: bytes | None = None
        self.kept: list[bool] = []
        """Whether each query has the basis of the last one, but for the first of each stage."""

    def begin_stage(self, candidates: Any) -> tuple[int, ...]:
        """Begin, without a basis."""
        self._live = super().begin_stage(candidates)
        self._last = None
        self.kernel = None  # query by query
        return self._live

    def route(self, row: int) -> tuple[int, float, float]:
        """Solve the LP that the router is about to solve, then let it decide."""
        basis = self._basis()
        if self._last is not None:
            self.kept.append(basis == self._last)
        self._last = basis
        return super().route(row)

    def _basis(self) -> bytes:
        states = [self.router.state(self._models[arm].name) for arm in self._live]
        solution = solve_routing_lp(
            [state.reward_ucb for state in states],
            [state.cost_lcb for state in states],
            self._caps[list(self._live)],
            self.router.counters.paced_budget,
        )
        p = solution.probabilities
        is_full = p >= self._caps[list(self._live)] - 1e-12
        return np.where(is_full, 2, (p > 1e-12).astype(int)).astype(np.int8).tobytes()


def reuse_rows(cases: Sequence[Case], queries: int) -> Sequence[Row]:
    """Count how often bases and live sets stay."""
    rows: list[Row] = []
    for case in cases:
        stream = case.workload.stream(queries, 0)
        policy = Watched(Setting(stream, case.limits, STAGES, 0))
        result = replay(policy, stream, STAGES, native=False)
        kept = np.array(policy.kept)
        third = kept.size // 3
        sets = [set(live) for live in result.deployments]
        same = [a == b for a, b in itertools.pairwise(sets)]
        members = [len(a & b) / len(b) for a, b in itertools.pairwise(sets)]
        rows.append(
            (
                case.label, f"{kept.mean():.2%}", f"{kept[:third].mean():.2%}",
                f"{kept[-third:].mean():.2%}", f"{np.mean(same):.0%}", f"{np.mean(members):.0%}",
            )
        )  # fmt: skip
    return rows


# ---- the whole ---------------------------------------------------------------------------------


def share_rows(cases: Sequence[Case], queries: int) -> Sequence[Row]:
    """Say what part of a replay is deployment: bounds, problem, solver, plan."""
    rows: list[Row] = []
    for case in cases:
        for solver in ("highs", "native"):
            result = run(replace(case, limits=replace(case.limits, solver=solver)), queries)
            total = result.seconds_deploying + result.seconds_routing
            rows.append(
                (
                    case.label, solver, format_time(result.seconds_deploying / STAGES),
                    format_time(result.seconds_routing / queries),
                    f"{result.seconds_deploying / total:.0%}",
                )
            )  # fmt: skip
    return rows
