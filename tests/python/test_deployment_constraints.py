"""The deployment problem under an operator's constraints: exact, and clear about conflicts."""

import pickle
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deployment_cases import Case, check, jittered, make_case
from stageroute import solve_deployment
from stageroute.config.constraints import DeploymentConstraints
from stageroute.deployment.constraints import reasons
from stageroute.deployment.highs import HighsSolver
from stageroute.errors import DeploymentConflictError, InvalidInputError, SolverError

PROBLEMS, NEAR_TIES = 1000, 300
SOLVERS = pytest.mark.parametrize("solver", ["highs", "native"])


@pytest.mark.slow
@SOLVERS
def test_equals_brute_force(solver: str) -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for seed in range(PROBLEMS):
        status, solved_by, error = check(make_case(seed), solver)
        assert error <= 1e-9, (seed, status)
        seen[status, solved_by] += 1
    for status in ("optimal", "budget_infeasible", "cap_infeasible"):
        assert seen[status, "lp"] > 50
        assert seen[status, f"{solver}_constrained"] > 50
    assert seen["optimal", solver] > 5
    assert seen["conflict", ""] > 100


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "tolerance"), [("highs", 1e-8), ("native", 1e-9)])
def test_equals_brute_force_at_near_ties(solver: str, tolerance: float) -> None:
    for seed in range(NEAR_TIES):
        case = jittered(make_case(seed), seed)
        assert check(case, solver)[2] <= tolerance, seed


MEMORY = [40.500024, 1.6e-5, 79.9999992, 80, 7.999976, 2.4e-5, 16.099976, 7.999992, 8.000016]
CHANCE = np.random.default_rng(3)
TWELVE = Case(
    reward=np.append(CHANCE.uniform(0.1, 1.0, 11), 0.0),
    cost=CHANCE.random(12),
    cap=np.full(12, 0.2),
    budget=0.6,
    slots=6,
    constraints=DeploymentConstraints(
        memory=np.append(np.full(11, 16.0001), 15.999), memory_capacity=80.0
    ),
)
HARD = {
    # With the row as it is, HiGHS 1.15.1 calls the problem infeasible.
    "arm 2 alone takes all but 1e-8 of the memory, arms 1 and 5 hardly any": Case(
        reward=np.array([0, 1, 0.7400999, 0.2499998, 0.2679732, 0.9999999, 0.5, 0.0627171, 0.3]),
        cost=np.array([0.21, 0.0, 0.68, 0.665, 0.0477, 0.1357, 1.0, 0.1878, 0.3072]),
        cap=np.array([0.3, 0.3, 1.0, 0.3, 0.5, 0.3, 0.5, 0.5, 0.5]),
        budget=1.0,
        slots=7,
        previous=(5,),
        constraints=DeploymentConstraints(
            memory=np.array(MEMORY),
            memory_capacity=80.0,
            forbidden=(8,),
            groups=((0, 5, 8), (1, 2, 8)),
            max_changes=1,
        ),
    ),
    "any five of twelve exceed the memory by 6e-6 of it, which HiGHS is not told": TWELVE,
    "any five of twelve, without exception": replace(
        TWELVE,
        constraints=replace(TWELVE.constraints, memory=np.full(12, 16.0001)),
    ),
    # No single exchange leads from one to the other.
    "arms 1 and 4 are better than 0, 2 and 4, by 3.2e-8": Case(
        reward=np.array([3e-8, 0.25000003, 0.24999997, 0.25000003, 0.61067098, 1.0]),
        cost=np.array([0.452580985, 0.499999995, 0.194052, 0.185803995, 0.312955985, 0.0]),
        cap=np.array([0.29999999, 0.99999997, 0.49999998, 0.50000002, 0.50000001, 0.29999999]),
        budget=0.7,
        slots=6,
        constraints=DeploymentConstraints(
            start_cost=np.array([0.00631624, 0.0, 0.00877542, 0.00575091, 0.0, 0.0025]),
            memory=np.array([23.9999984, 40.5000024, 7.9999976, 80.0, 1.6e-6, 40.4999976]),
            memory_capacity=48.2,
            groups=((0, 3),),
        ),
    ),
    # Presolve of HiGHS 1.15.1 ends in a point that it then finds to be outside its tolerance.
    "caps that sum to one within the tolerance of HiGHS only": Case(
        reward=np.array([0.47294, 0.0, 1.0, 0.999999, 0.611435, 0.292093, 1.0, 0.0, 0.500002]),
        cost=np.array([6.378, 0.0, 4.698, 10.0, 5.0, 9.7253, 2.5337, 5.0, 7.8178]),
        cap=np.array([0.999998, 0.5, 0.999998, 0.999999, 0.499999, 0.999999, 1.0, 1.0, 0.299997]),
        budget=1.0,
        slots=5,
        previous=(4, 6, 8, 3),
        constraints=DeploymentConstraints(
            memory=np.array([80.0, 0.0, 24.0, 16.1, 16.1, 8.0, 40.5, 0.0, 8.0]),
            memory_capacity=24.0,
            max_changes=0,
        ),
    ),
    # Rounding decides whether the rows of the relaxation can be satisfied.
    "a set whose caps sum to exactly one is the only one with enough caps": Case(
        reward=np.array([0.076086, 0.0, 1.0, 0.924268, 0.649631, 0.25]),
        cost=np.array([0.00022809, 0.0, 0.00013971, 0.0, 0.00044286, 0.0]),
        cap=np.array([0.2, 0.3, 0.3, 0.2, 0.2, 0.2]),
        budget=0.0007,
        slots=5,
        previous=(3, 4, 2, 1),
        constraints=DeploymentConstraints(
            start_cost=np.array([2.79067e-05, 1e-4, 0.0, 0.0, 0.0, 3.2286e-05]),
            memory=np.array([16.1, 40.5, 8.0, 8.0, 80.0, 16.1]),
            memory_capacity=160.0,
            forbidden=(0, 4),
            provider=("a", "b", "b", "a", "a", "c"),
            min_providers=3,
            max_changes=1,
        ),
    ),
}


@SOLVERS
@pytest.mark.parametrize("case", HARD.values(), ids=HARD)
def test_equals_brute_force_where_it_is_hard(solver: str, case: Case) -> None:
    _, solved_by, error = check(case, solver)
    assert (solved_by, error <= 1e-12) == (f"{solver}_constrained", True)


@SOLVERS
def test_what_is_optimal_anyway_costs_no_mip(monkeypatch: pytest.MonkeyPatch, solver: str) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a MIP was solved")

    monkeypatch.setattr(HighsSolver, "__call__", refuse)
    # Arms 0 and 1 are optimal. Memory has room for them and the pinned arm 2, not for the better
    # stand-in 3; money is left to start arm 1.
    constraints = DeploymentConstraints(
        start_cost=np.full(4, 0.1),
        memory=np.array([40.0, 20.0, 20.0, 30.0]),
        memory_capacity=80.0,
        pinned=(2,),
        provider=("a", "b", "b", "b"),
        min_providers=2,
        groups=((0, 3),),
        max_changes=1,
    )
    solution = solve_deployment(
        [0.9, 0.8, 0.1, 0.7],
        [0.2, 0.3, 0.1, 0.1],
        [0.6] * 4,
        0.4,
        4,
        solver=solver,
        previous=[0, 2],
        constraints=constraints,
    )
    assert solution.status == "optimal"
    assert solution.solved_by == "lp"
    assert solution.deployed == (0, 1, 2)
    assert solution.weights.tolist() == pytest.approx([0.6, 0.4, 0.0, 0.0])
    assert solution.spend == pytest.approx(0.6 * 0.2 + 0.4 * 0.3 + 0.1)


@SOLVERS
def test_what_is_optimal_anyway_costs_no_constrained_mip(solver: str) -> None:
    # Three of these six must be chosen by HiGHS; what it chooses fits into the memory.
    arguments = [0.0, 1e-6, 0.25, 0.0, 0.25, 0.0], [0.0] * 6, [0.3, 1.0, 0.2, 0.2, 0.2, 1.0], 0.0, 2
    free = solve_deployment(*arguments, solver=solver)
    assert free.solved_by == solver
    memory = np.full(6, 50.0)
    memory[list(free.deployed)] = 40.0
    constraints = DeploymentConstraints(memory=memory, memory_capacity=80.0)
    solution = solve_deployment(*arguments, solver=solver, constraints=constraints)
    assert solution.solved_by == solver
    assert solution.deployed == free.deployed


@pytest.mark.parametrize(
    ("slots", "asked", "remedies"),
    [
        (
            1,
            {"pinned": (0, 2), "names": ("a", "b", "c")},
            {
                "pinned a": "unpin a",
                "pinned c": "unpin c",
                "max_deployed = 1": "raise max_deployed",
            },
        ),
        (2, {"forbidden": (0, 1, 2)}, {f"forbidden {arm}": f"allow {arm}" for arm in range(3)}),
        (
            3,
            {"pinned": (1,), "max_changes": 0, "min_providers": 1},
            {"pinned 1": "unpin 1", "max_changes = 0": "raise max_changes"},
        ),
        (
            3,
            {"memory": np.array([81.0, 90.0, 100.0]), "memory_capacity": 80.0},
            {"memory_gb = 80": "raise memory_gb"},
        ),
        (
            3,
            {
                "provider": tuple("pqq"),
                "min_providers": 2,
                "groups": ((0, 1), (0, 2)),
                "max_changes": 3,
            },
            {"min_providers = 2": "lower min_providers"}
            | {f"group {group}": f"split group {group}" for group in range(2)},
        ),
        (
            3,
            {"provider": tuple("pqq"), "min_providers": 3},
            {"min_providers = 3": "lower min_providers"},
        ),
        (
            3,
            {"pinned": (1,), "forbidden": (1, 2), "max_changes": 1},
            {"pinned 1": "unpin 1", "forbidden 1": "allow 1"},
        ),
    ],
)
def test_conflicts_say_what_to_relax(
    slots: int, asked: dict[str, Any], remedies: dict[str, str]
) -> None:
    problem = [0.5] * 3, [0.1] * 3, [1.0] * 3, 1.0, slots
    constraints = DeploymentConstraints(**asked)
    with pytest.raises(DeploymentConflictError) as caught:
        solve_deployment(*problem, previous=[0], constraints=constraints)
    message = (
        f"no set of models satisfies {' and '.join(remedies)}; "
        f"to resolve this conflict, {', or '.join(remedies.values())}"
    )
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert error.constraints == tuple(remedies)
        assert str(error) == message
    assert isinstance(caught.value, ValueError)


def test_a_solver_that_overlooks_a_set_makes_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HighsSolver, "__call__", lambda *_: None)
    # What is best without the constraint is forbidden.
    constraints = DeploymentConstraints(forbidden=(0,))
    with pytest.raises(SolverError, match="no live set although the constraints allow one"):
        solve_deployment([0.9, 0.5], [0.1] * 2, [1.0] * 2, 1.0, 1, constraints=constraints)


def test_reasons_name_what_keeps_an_arm_live_or_not() -> None:
    constraints = DeploymentConstraints(
        memory=np.array([40.0, 10.0, 60.0, 10.0, 10.0]),
        memory_capacity=80.0,
        pinned=(0,),
        forbidden=(4,),
        provider=("p", "q", "q", "q", "q"),
        min_providers=2,
        groups=((1, 3),),
        max_changes=1,
        names=("a", "b", "c", "d", "e"),
    )
    assert reasons(constraints, [0, 1], 5, [0]) == (
        ("pinned a", "min_providers = 2"),
        ("min_providers = 2",),
        ("memory_gb = 80", "max_changes = 1"),
        ("group 0", "max_changes = 1"),
        ("forbidden e", "max_changes = 1"),
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start_cost": [0.1, -1.0]}, r"start_cost\[1\] = -1.0: must be finite and not negative"),
        ({"start_cost": [[0.1]]}, r"start_cost = \[\[0.1\]\]: must have one dimension"),
        ({"start_cost": [0.1]}, r"constraints.start_cost has 1 elements; it must have 2"),
        (
            {"memory": [np.nan, 1.0], "memory_capacity": 1.0},
            r"memory\[0\] = nan: must be finite and not negative",
        ),
        ({"memory": [1.0, 1.0]}, r"memory_capacity = None: goes with memory"),
        ({"memory_capacity": 1.0}, r"memory_capacity = 1.0: goes with memory"),
        (
            {"memory": [1.0, 1.0], "memory_capacity": 0.0},
            r"memory_capacity = 0.0: must be finite and above 0",
        ),
        ({"pinned": (2,)}, r"constraints.pinned = 2: there is no such arm; there are 2"),
        ({"pinned": (-1,)}, r"pinned = -1: must be the index of an arm"),
        ({"forbidden": (0.5,)}, r"forbidden = 0.5: must be the index of an arm"),
        ({"groups": ((0, 7),)}, r"constraints.groups = 7: there is no such arm"),
        ({"groups": ((0, 1),), "group_names": ()}, r"group_names has 0 elements; it must have 1"),
        ({"min_providers": 0}, r"min_providers = 0: must be a whole number, at least 1"),
        ({"min_providers": 2}, r"min_providers = 2: needs to know each arm's provider"),
        ({"provider": ("a",)}, r"constraints.provider has 1 elements; it must have 2"),
        ({"max_changes": -1}, r"max_changes = -1: must be a whole number, not negative"),
        ({"names": ("a", "a")}, r"names = \('a', 'a'\): must be different from each other"),
    ],
)
def test_bad_input(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        solve_deployment(
            [0.5] * 2, [0.1] * 2, [1.0] * 2, 1.0, 1, constraints=DeploymentConstraints(**fields)
        )
