"""The native solver against HiGHS on larger problems, and wherever it can be chosen."""

import _thread
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stageroute import DeploymentSolution, StageRouter, solve_deployment
from stageroute.config.constraints import DeploymentConstraints
from stageroute.config.journal import JournalSettings
from stageroute.errors import DeploymentConflictError, InvalidInputError, SnapshotMismatchError

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Problem = tuple[Floats, Floats, Floats, float, int]

PLAIN, CONSTRAINED = 100, 30
KINDS = ("spread", "tight", "small caps", "ties", "near ties")


def make_problem(seed: int) -> tuple[str, Problem]:
    """Build a problem of 50 to 300 arms in which the number of live arms tends to matter."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % len(KINDS)]
    size, slots = int(rng.integers(50, 301)), int(rng.integers(3, 13))
    unit = float(rng.choice([1.0, 1e-3, 1e-6]))
    quality = rng.random(size)
    reward = np.clip(0.3 + 0.6 * quality + rng.normal(0.0, 0.05, size), 0.0, 1.0)
    cost = 10.0 ** (2.0 * quality - 1.3 + rng.normal(0.0, 0.2, size))
    cap = np.minimum(rng.uniform(0.9 / slots, 1.5 / slots, size), 1.0)
    budget = float(rng.choice([0.1, 0.3, 1.0]))
    if kind == "tight":
        cap = np.minimum(rng.uniform(0.8 / slots, 1.1 / slots, size), 1.0)
    elif kind == "small caps":
        cap = 10.0 ** -rng.uniform(0.0, 2.0, size)
    elif kind == "ties":
        reward, cost = rng.choice([0.25, 0.5, 0.75, 1.0], size), rng.choice([0.25, 0.5, 1.0], size)
        cap = rng.choice([0.8, 1.0, 1.2], size) / slots
    elif kind == "near ties":
        reward = 0.5 + 1e-5 * rng.random(size)
        cost = 1.0 + 1e-3 * rng.normal(0.0, 1.0, size)
        cap, budget = rng.uniform(0.8 / slots, 1.1 / slots, size), 1.0
    return kind, (reward, unit * cost, cap, unit * budget, slots)


def make_constraints(seed: int, size: int, unit: float) -> DeploymentConstraints:
    """Ask some of everything that an operator can ask."""
    rng = np.random.default_rng(seed)
    asks = rng.random(6) < 0.35
    members = rng.permutation(size)
    return DeploymentConstraints(
        start_cost=0.05 * unit * rng.random(size) if asks[0] else None,
        memory=rng.choice([8.0, 16.0, 24.0, 40.0, 80.0], size) if asks[1] else None,
        memory_capacity=float(rng.choice([60, 120, 240])) if asks[1] else None,
        pinned=tuple(members[:2].tolist()) if asks[2] else (),
        provider=tuple("abcdef"[k] for k in rng.integers(0, 6, size)) if asks[3] else None,
        min_providers=int(rng.choice([2, 3])) if asks[3] else 1,
        groups=(tuple(members[1:11].tolist()), tuple(members[11:20].tolist())) if asks[4] else (),
        max_changes=int(rng.integers(1, 4)) if asks[5] else None,
    )


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
    return StageRouter(MODELS, budget=0.001, max_deployed=2, solver=solver, seed=7, journal=journal)


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
