"""Deployment problems: small ones with brute force over all their live sets, and larger ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from stageroute import DeploymentSolution, solve_deployment, solve_routing_lp
from stageroute.config.constraints import DeploymentConstraints
from stageroute.errors import DeploymentConflictError

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Problem = tuple[Floats, Floats, Floats, float, int]
Rule = Callable[[frozenset[int]], bool]


@dataclass(frozen=True)
class Case:
    """A small problem, and its constraints, if any, said once more as predicates on sets."""

    reward: Floats
    cost: Floats
    cap: Floats
    budget: float
    slots: int
    constraints: DeploymentConstraints
    previous: tuple[int, ...] = ()
    is_constrained: bool = True

    @property
    def size(self) -> int:
        return self.reward.size

    def solve(self, solver: str) -> DeploymentSolution:
        problem = self.reward, self.cost, self.cap, self.budget, self.slots
        if not self.is_constrained:
            return solve_deployment(*problem, solver=solver)
        options: dict[str, Any] = {"previous": self.previous, "constraints": self.constraints}
        return solve_deployment(*problem, solver=solver, **options)

    def rules(self) -> dict[str, Rule]:
        c = self.constraints
        rules: dict[str, Rule] = {
            f"max_deployed = {self.slots}": lambda live: len(live) <= self.slots
        }
        rules |= {f"pinned {arm}": at_least(1, {arm}) for arm in c.pinned}
        rules |= {f"forbidden {arm}": at_most(0, {arm}) for arm in c.forbidden}
        rules |= {f"group {k}": at_most(1, set(group)) for k, group in enumerate(c.groups)}
        if c.min_providers > 1:
            rules[f"min_providers = {c.min_providers}"] = (
                lambda live: len({c.provider[arm] for arm in live}) >= c.min_providers  # type: ignore[index]
            )
        if c.memory_capacity is not None:
            room = c.memory_capacity * (1 + 1e-9)
            rules[f"memory_gb = {c.memory_capacity:g}"] = (
                lambda live: sum(c.memory[arm] for arm in live) <= room  # type: ignore[index]
            )
        if c.max_changes is not None and self.previous:
            others = set(range(self.size)) - set(self.previous)
            rules[f"max_changes = {c.max_changes}"] = at_most(c.max_changes, others)
        return rules

    def start(self, live: frozenset[int]) -> float:
        if self.constraints.start_cost is None:
            return 0.0
        return float(sum(self.constraints.start_cost[arm] for arm in live - set(self.previous)))

    def value(self, live: frozenset[int]) -> tuple[str, float]:
        """Status of one live set, and how good it is at that: more is better."""
        arms = sorted(live)
        reward, cost, cap = self.reward[arms], self.cost[arms], self.cap[arms]
        left = self.budget - self.start(live)
        unit = max(float(self.cost.max()), self.start(frozenset(range(self.size))))
        solution = solve_routing_lp(reward, cost, cap, max(left, 0.0))
        if solution.status == "cap_infeasible":
            return "cap_infeasible", float(cap.sum())
        if solution.status == "optimal" and left >= -1e-9 * unit:
            return "optimal", solution.objective
        cheapest = solve_routing_lp(-cost, np.zeros_like(cost), cap, 0.0)
        return "budget_infeasible", (cheapest.objective - self.start(live)) / unit


def at_least(count: int, arms: set[int]) -> Rule:
    return lambda live: len(live & arms) >= count


def at_most(count: int, arms: set[int]) -> Rule:
    return lambda live: len(live & arms) <= count


def subsets(size: int) -> Iterator[frozenset[int]]:
    return (frozenset(arms) for k in range(size) for arms in combinations(range(size), k + 1))


def without_constraints(case: Case, slots: int) -> Case:
    """Leave out what an operator asks; any number of slots has a set then."""
    nothing = DeploymentConstraints()
    return replace(case, slots=slots, previous=(), constraints=nothing, is_constrained=False)


def make_case(seed: int) -> Case:
    """Build a problem with ties, free models, tight caps and any combination of constraints."""
    rng = np.random.default_rng(seed)
    size = int(rng.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]))

    def values() -> Floats:
        grid = rng.choice([0.0, 0.25, 0.5, 1.0], size)
        return np.where(rng.random(size) < 0.5, grid, rng.random(size).round(6))

    def some(most: int) -> tuple[int, ...]:
        count = int(rng.integers(0, min(most, size) + 1))
        return tuple(rng.choice(size, count, replace=False).tolist())

    unit = float(rng.choice([1.0, 1e-3, 1e-6]))
    asks = rng.random(7) < rng.choice([0.15, 0.4, 0.7])
    capacity = float(rng.choice([24, 48.2, 80, 160])) if asks[1] else None
    memory = rng.choice([0.0, 8.0, 16.1, 24.0, 40.5, 80.0], size)
    providers = tuple("abcd"[number] for number in rng.integers(0, 4, size))
    constraints = DeploymentConstraints(
        start_cost=unit * values() * rng.choice([0.01, 0.1, 0.5]) if asks[0] else None,
        memory=None if capacity is None else memory,
        memory_capacity=capacity,
        pinned=some(2) if asks[2] else (),
        forbidden=some(3) if asks[3] else (),
        provider=providers if asks[4] else None,
        min_providers=int(rng.choice([1, 2, 2, 3, 4])) if asks[4] else 1,
        groups=tuple(some(4) for _ in range(rng.integers(1, 3))) if asks[5] else (),
        max_changes=int(rng.integers(0, 4)) if asks[6] else None,
    )
    return Case(
        reward=values(),
        cost=unit * values(),
        cap=rng.choice(rng.choice([[0.2, 0.3, 0.5], [0.3, 0.5, 1.0]]), size),
        budget=unit * float(rng.choice([0.0, 0.1, 0.3, 0.7, 1.0])),
        slots=int(rng.integers((size + 1) // 2, size + 1)),
        previous=some(4) if rng.random() < 0.7 else (),
        constraints=constraints,
    )


def brute_force(case: Case) -> tuple[str, float]:
    rules = case.rules().values()
    allowed = [live for live in subsets(case.size) if all(rule(live) for rule in rules)]
    verdicts = [case.value(live) for live in allowed]
    for status in ("optimal", "budget_infeasible", "cap_infeasible"):
        reached = [value for verdict, value in verdicts if verdict == status]
        if reached:
            return status, max(reached)
    return "conflict", 0.0


def check_conflict(case: Case, names: tuple[str, ...]) -> None:
    """Check that these constraints allow no set, and that any one less would."""
    rules = case.rules()
    assert set(names) <= set(rules)

    def has_member(kept: list[str]) -> bool:
        return any(all(rules[name](live) for name in kept) for live in subsets(case.size))

    assert not has_member(list(names))
    for name in names:
        assert has_member([other for other in names if other != name]), (name, names)


def check(case: Case, solver: str) -> tuple[str, str, float]:
    """Compare one case with brute force: its status, how it was solved, and the error."""
    status, best = brute_force(case)
    if status == "conflict":
        with pytest.raises(DeploymentConflictError) as caught:
            case.solve(solver)
        check_conflict(case, caught.value.constraints)
        return status, "", 0.0
    solution = case.solve(solver)
    live = frozenset(solution.deployed)
    assert all(rule(live) for rule in case.rules().values())
    assert solution.status == status
    verdict, reached = case.value(live)
    assert verdict == status
    assert set(np.flatnonzero(solution.weights)) <= live
    assert solution.weights.sum() == pytest.approx(1.0)
    spend = float(solution.weights @ case.cost) + case.start(live)
    assert solution.spend == pytest.approx(spend, rel=1e-9, abs=1e-15)
    if status == "optimal":
        assert solution.objective == pytest.approx(reached, abs=1e-12)
        assert solution.spend <= case.budget + 2e-9 * max(case.cost.max(), case.start(live))
    check_filled(case, solution)
    return status, solution.solved_by, abs(best - reached)


def check_filled(case: Case, solution: DeploymentSolution) -> None:
    """Check that no slot is empty that could have been filled."""
    live = frozenset(solution.deployed)
    left = case.budget - solution.spend if solution.status == "optimal" else 0.0
    for arm in set(range(case.size)) - live:
        wider = live | {arm}
        if all(rule(wider) for rule in case.rules().values()):
            assert case.start(wider) - case.start(live) > left - 1e-12


def jittered(case: Case, seed: int) -> Case:
    """Move everything by very little, so that ties become near ties and limits are nearly met."""
    rng = np.random.default_rng(seed)
    step = float(rng.choice([1e-8, 1e-7, 1e-6, 1e-5]))

    def jitter(values: Floats) -> Floats:
        moved: Floats = values + step * rng.integers(-3, 4, values.size) * values.max()
        return np.maximum(moved, 0.0)

    c = case.constraints
    return replace(
        case,
        reward=np.minimum(jitter(case.reward), 1.0),
        cost=jitter(case.cost),
        cap=np.clip(jitter(case.cap), 0.1, 1.0),
        constraints=replace(
            c,
            start_cost=None if c.start_cost is None else jitter(c.start_cost),
            memory=None if c.memory is None else jitter(c.memory),
        ),
    )


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
