"""The deployment problem: what both solvers choose, what they say where there is no good choice."""

import _thread
import re
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployment_cases import (
    KINDS,
    Problem,
    check,
    make_case,
    make_constraints,
    make_problem,
    without_constraints,
)
from stageroute import DeploymentSolution, StageRouter, solve_deployment
from stageroute.config.constraints import DeploymentConstraints
from stageroute.config.journal import JournalSettings
from stageroute.errors import (
    DeploymentConflictError,
    InvalidInputError,
    SnapshotMismatchError,
    SolverError,
)

SOLVERS = pytest.mark.parametrize("solver", ["highs", "native"])


@pytest.mark.parametrize(("solver", "tolerance"), [("highs", 1e-8), ("native", 1e-9)])
def test_equals_brute_force(solver: str, tolerance: float) -> None:
    seen: Counter[str] = Counter()
    for seed in range(300):
        case = make_case(seed)
        status, solved_by, error = check(without_constraints(case, 1 + seed % case.size), solver)
        assert error <= tolerance, seed
        seen.update((status, solved_by))
    assert seen["lp"] > 50
    assert min(seen[key] for key in (solver, "budget_infeasible", "cap_infeasible")) > 10


def starts(*costs: float) -> DeploymentConstraints:
    return DeploymentConstraints(start_cost=np.array(costs))


BY = "the solver that was asked"
ONE_CHANGE = DeploymentConstraints(max_changes=1)
EXAMPLES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "arm 1 is worth 8e-7 more than arm 5 in the second slot, which HiGHS cannot tell": (
        ([0.0, 1e-6, 0.25, 0.0, 0.25, 0.0], [0.0] * 6, [0.3, 1.0, 0.2, 0.2, 0.2, 1.0], 0.0, 2),
        {},
        {"objective": 0.05 + 8e-7, "solved_by": BY},
    ),
    "a free slot goes to the highest reward where money is no object": (
        ([0.9, 0.2, 0.8, 0.5], [0.1] * 4, [1.0] * 4, 1.0, 2),
        {},
        {"deployed": (0, 2), "weights": [1.0, 0.0, 0.0, 0.0]},
    ),
    "at the budget's price arm 3, worse but cheap, is worth more than arm 2": (
        ([0.9, 0.5, 0.7, 0.4], [2.0, 1.0, 3.0, 0.9], [1.0] * 4, 1.5, 3),
        {},
        {"deployed": (0, 1, 3), "budget_price": 0.4},
    ),
    "arm 0 is all optimism: with it money is no object, and arm 1 looks like a stand-in": (
        ([1.0, 0.7, 0.5], [0.1, 2.0, 0.2], [1.0] * 3, 1.0, 2),
        {},
        {"deployed": (0, 1)},
    ),
    "at the price of today the cheap arm 2 is the better stand-in": (
        ([1.0, 0.7, 0.5], [0.1, 2.0, 0.2], [1.0] * 3, 1.0, 2),
        {"current_price": 0.4},
        {"deployed": (0, 2)},
    ),
    "the cheapest set where the budget cannot be met": (
        ([1.0, 0.5, 0.7, 0.9], [5.0, 3.0, 4.0, 6.0], [0.5] * 4, 1.0, 2),
        {},
        {
            "status": "budget_infeasible",
            "deployed": (1, 2),
            "spend": 3.5,
            "budget_price": np.inf,
        },
    ),
    "three slots cannot hold the four cheapest quarters": (
        ([1.0] * 6, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0], [0.25] * 4 + [0.5, 0.6], 0.5, 3),
        {},
        {"status": "budget_infeasible", "spend": 1.5, "solved_by": BY},
    ),
    "the largest caps where caps cannot sum to one": (
        ([0.9, 0.1, 0.2], [1.0] * 3, [0.1, 0.4, 0.3], 9.0, 2),
        {},
        {"status": "cap_infeasible", "deployed": (1, 2), "weights": [0.0, 4 / 7, 3 / 7]},
    ),
    "start costs alone exceed the budget": (
        ([0.5, 0.6], [0.1, 0.2], [1.0] * 2, 1.0, 2),
        {"constraints": starts(2.0, 1.5)},
        {"status": "budget_infeasible", "deployed": (1,), "spend": 1.7, "budget_price": np.inf},
    ),
    "more slots than arms": (
        ([0.5, 0.6], [0.1, 0.2], [1.0] * 2, 1.0, 9),
        {},
        {"deployed": (0, 1)},
    ),
}
EXAMPLES |= {
    # Arm 1 is better by 0.3; the budget is 1. Where its start leaves 0.8 of it for queries, an
    # eighth of the traffic must stay with arm 0.
    f"a start costs {start}, {slots} slots": (
        ([0.5, 0.8], [0.1, 0.9], [1.0, 1.0], 1.0, slots),
        {"previous": [0], "constraints": starts(0.0, start)},
        expected,
    )
    for start, slots, expected in (
        (0.1, 1, {"deployed": (1,)}),
        (0.2, 1, {"deployed": (0,)}),
        (0.2, 2, {"deployed": (0, 1), "objective": 0.5 / 8 + 0.8 * 7 / 8}),
        (1.5, 2, {"deployed": (0,)}),
    )
}
EXAMPLES |= {
    # The first deployment may start any number. Later, to replace one is one change, and so is to
    # start one where none was stopped.
    f"one change after {previous}": (
        ([0.9, 0.8, 0.7], [0.1] * 3, [0.5] * 3, 1.0, 2),
        {"previous": previous, "constraints": ONE_CHANGE},
        {"deployed": deployed},
    )
    for previous, deployed in ((None, (0, 1)), ([], (0, 1)), ([2], (0, 2)), ([1, 2], (0, 1)))
}


@pytest.mark.parametrize(("problem", "options", "expected"), EXAMPLES.values(), ids=EXAMPLES)
@SOLVERS
def test_examples(solver: str, problem: Any, options: Any, expected: dict[str, Any]) -> None:
    solution = solve_deployment(*problem, solver=solver, **options)
    for name, value in expected.items():
        wanted = solver if value is BY else value
        found = getattr(solution, name)
        is_exact = name in ("status", "deployed", "solved_by")
        assert found == (wanted if is_exact else pytest.approx(wanted, rel=1e-9, abs=1e-12)), name
    assert not solution.weights.flags.writeable


@pytest.mark.parametrize("is_constrained", [False, True])
@pytest.mark.parametrize(
    ("solver", "message"), [("highs", "Time limit reached"), ("native", "after 1 nodes")]
)
def test_time_limit_ends_in_an_error_that_says_so(
    solver: str, message: str, is_constrained: bool
) -> None:
    generator = np.random.default_rng(0)
    reward, cost, cap, memory = generator.random((4, 400)) * [[1], [1], [0.06], [35]]
    limit = DeploymentConstraints(memory=memory + 5.0, memory_capacity=320.0)
    problem = reward, cost, cap + 0.02, 0.3, 16
    constraints = limit if is_constrained else None
    with pytest.raises(SolverError, match=rf"without a proven optimum.*{message}"):
        solve_deployment(*problem, solver=solver, time_limit=1e-9, constraints=constraints)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": [np.nan, 0.5]}, "reward[0] = NaN: must be finite"),
        ({"reward": [], "cost": [], "throughput_cap": []}, "reward is empty: there must be at"),
        ({"cost": [0.1, -0.1]}, "cost[1] = -0.1: a cost must be finite and not negative"),
        ({"cost": [0.1]}, "cost has 1 elements; it must have 2"),
        ({"throughput_cap": [0.0, 1.0]}, "throughput_cap[0] = 0: must be in (0, 1]"),
        ({"throughput_cap": [0.5, 1.5]}, "throughput_cap[1] = 1.5: must be in (0, 1]"),
        ({"budget": -1.0}, "budget = -1.0: must be finite and not negative"),
        ({"budget": np.inf}, "budget = inf: must be finite and not negative"),
        ({"max_deployed": 0}, "max_deployed = 0: must be a whole number, at least 1"),
        ({"max_deployed": 1.5}, "max_deployed = 1.5: must be a whole number"),
        ({"solver": "magic"}, "solver = 'magic': must be one of highs, native"),
        ({"current_price": -1.0}, "current_price = -1.0: must be finite and not negative"),
        ({"time_limit": 0}, "time_limit = 0: must be finite and above 0, in seconds"),
        ({"constraints": 80}, "constraints = 80: must be DeploymentConstraints"),
    ],
)
@SOLVERS
def test_bad_input(solver: str, changes: dict[str, Any], message: str) -> None:
    good = {"reward": [0.5] * 2, "cost": [0.1] * 2, "throughput_cap": [1.0] * 2, "budget": 1.0}
    arguments: dict[str, Any] = good | {"max_deployed": 1, "solver": solver} | changes
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        solve_deployment(**arguments)


def answer(problem: Problem, solver: str, **options: Any) -> DeploymentSolution | tuple[str, ...]:
    """Solve; where constraints conflict, say which."""
    try:
        return solve_deployment(*problem, solver=solver, **options)
    except DeploymentConflictError as conflict:
        return conflict.constraints


@pytest.mark.slow
@pytest.mark.parametrize(("problems", "is_constrained"), [(100, False), (30, True)])
def test_equals_highs_on_larger_problems(problems: int, is_constrained: bool) -> None:
    """Within the accuracy that HiGHS has."""
    searched: Counter[str] = Counter()
    for seed in range(problems):
        kind, problem = make_problem(seed)
        size, unit = problem[1].size, float(problem[1].max())
        options: dict[str, Any] = {}
        if is_constrained:
            options["previous"] = [0, size // 2, size - 1]
            options["constraints"] = make_constraints(seed, size, unit)
        native, highs = (answer(problem, solver, **options) for solver in ("native", "highs"))
        if isinstance(native, tuple) or isinstance(highs, tuple):
            assert native == highs
            searched["conflict"] += 1
            continue
        searched[native.solved_by] += 1
        searched[kind] += native.solved_by == "native"
        assert native.status == highs.status
        if native.status == "optimal":
            assert -1e-9 <= native.objective - highs.objective <= 1e-8
        elif native.status == "budget_infeasible":
            assert native.spend == pytest.approx(highs.spend, abs=1e-8 * unit)
    if is_constrained:
        assert searched["native_constrained"] > 10
        assert searched["conflict"] > 0
    else:
        assert all(searched[kind] > 1 for kind in KINDS)


def test_relaxations_are_answered_alike() -> None:
    """Where the LP suffices, both solvers give the same bits."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        reward, cost = rng.random(20), 0.01 * rng.random(20)
        arguments = reward, cost, np.full(20, 0.5), 0.002, 4
        price = float(rng.choice([0.0, 50.0]))
        native = solve_deployment(*arguments, solver="native", current_price=price)
        highs = solve_deployment(*arguments, current_price=price)
        assert native.solved_by == highs.solved_by == "lp"
        assert native.deployed == highs.deployed
        assert native.weights.tolist() == highs.weights.tolist()
        assert (native.objective, native.spend) == (highs.objective, highs.spend)
        assert native.budget_price == highs.budget_price


def test_a_search_without_a_time_limit_hears_an_interrupt() -> None:
    # Every sum of memory is even and its limit odd: no bound ever meets a value, and the search
    # would look at millions of sets.
    size, slots = 60, 12
    memory = 2.0 * np.random.default_rng(0).integers(5_000, 15_000, size).astype(np.float64)
    constraints = DeploymentConstraints(memory=memory, memory_capacity=slots * 20_000.0 + 1.0)
    problem = memory / 30_000.0, np.full(size, 0.1), np.full(size, 1 / slots), 1.0, slots
    interrupt = threading.Timer(0.1, _thread.interrupt_main)
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        solve_deployment(*problem, solver="native", constraints=constraints)
    interrupt.join()


# ---- where it can be chosen --------------------------------------------------------------------

MODELS = ("small", "middling", "large", "huge")


def make_router(solver: str, journal: JournalSettings | None = None) -> StageRouter:
    return StageRouter(
        MODELS, budget=0.001, max_deployed=2, solver=solver, seed=7, journal=journal,
        on_difference="refuse",
    )  # fmt: skip


def test_a_router_deploys_with_the_solver_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[object] = []

    def watched(*arguments: object, **options: object) -> DeploymentSolution:
        used.append(options["solver"])
        return solve_deployment(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("stageroute.deployment.plan.solve_deployment", watched)
    for solver in ("highs", "native"):
        router = make_router(solver)
        router.advance_stage()
    assert used == ["highs", "highs", "native", "native"]


def test_the_solver_survives_snapshots_and_journals(tmp_path: Path, journal_path: Path) -> None:
    snapshot, journal = tmp_path / "snapshot", JournalSettings(journal_path)
    with make_router("native", journal) as router:
        router.snapshot(snapshot)
    for again in (partial(StageRouter.restore, snapshot), partial(make_router, journal=journal)):
        with pytest.raises(SnapshotMismatchError, match=r"solver: 'native' there, 'highs' here"):
            again(solver="highs")
        with again(solver="native") as same:
            assert same.advance_stage().models


def test_a_router_refuses_an_unknown_solver() -> None:
    with pytest.raises(InvalidInputError, match=r"solver = 'magic': must be one of highs, native"):
        make_router("magic")
