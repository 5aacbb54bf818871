"""The deployment problem: what it chooses, what it says when there is no good choice, bad input."""

import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

from deployment_cases import check, make_case, without_constraints
from stageroute import solve_deployment
from stageroute.config.constraints import DeploymentConstraints
from stageroute.errors import InvalidInputError, SolverError

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
        ({"budget": -1.0}, "budget = -1: must be finite and not negative"),
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
