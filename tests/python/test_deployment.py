"""The deployment problem: what it chooses, what it says when there is no good choice, bad input."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stageroute import solve_deployment, solve_routing_lp
from stageroute.errors import InvalidInputError, SolverError

SOLVERS = pytest.mark.parametrize("solver", ["highs", "native"])

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, float, int]


def make_problem(seed: int) -> Problem:
    """Build a small problem with ties, free models and tight caps."""
    generator = np.random.default_rng(seed)
    size = int(generator.integers(1, 8))

    def values() -> np.ndarray:
        grid = generator.choice([0.0, 0.25, 0.5, 1.0], size)
        return np.where(generator.random(size) < 0.5, grid, generator.random(size).round(6))

    unit = generator.choice([1.0, 1e-3, 1e-6])
    cap = generator.choice([0.2, 0.3, 0.5, 1.0], size)
    budget = float(unit * generator.choice([0.0, 0.1, 0.3, 0.7, 1.0]))
    return values(), unit * values(), cap, budget, int(generator.integers(1, size + 1))


def brute_force(
    reward: np.ndarray, cost: np.ndarray, cap: np.ndarray, budget: float, slots: int
) -> float | None:
    """Best objective over every live set; None if none is feasible."""
    values = []
    for chosen in combinations(range(reward.size), slots):
        arms = list(chosen)
        solution = solve_routing_lp(reward[arms], cost[arms], cap[arms], budget)
        if solution.status == "optimal":
            values.append(solution.objective)
    return max(values, default=None)


@pytest.mark.parametrize(("solver", "tolerance"), [("highs", 1e-8), ("native", 1e-9)])
@settings(max_examples=300, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_equals_brute_force(solver: str, tolerance: float, seed: int) -> None:
    problem = make_problem(seed)
    best = brute_force(*problem)
    solution = solve_deployment(*problem, solver=solver)
    assert len(solution.deployed) == problem[4]
    assert solution.weights.sum() == pytest.approx(1.0)
    assert set(np.flatnonzero(solution.weights)) <= set(solution.deployed)
    if best is None:
        assert solution.status != "optimal"
    else:
        assert solution.status == "optimal"
        assert solution.objective == pytest.approx(best, abs=tolerance)


@SOLVERS
def test_sets_that_highs_cannot_tell_apart(solver: str) -> None:
    # Arm 1 is worth 8e-7 more than arm 5 in the second slot.
    reward, cap = [0.0, 1e-6, 0.25, 0.0, 0.25, 0.0], [0.3, 1.0, 0.2, 0.2, 0.2, 1.0]
    solution = solve_deployment(reward, [0.0] * 6, cap, 0.0, 2, solver=solver)
    assert solution.solved_by == solver
    assert solution.objective == pytest.approx(0.05 + 8e-7, abs=1e-12)


@SOLVERS
def test_free_slots_go_to_the_highest_reduced_value(solver: str) -> None:
    # Arm 0 fills the budget's needs alone; of the others arm 2 has the highest reward at price 0.
    arguments = [0.9, 0.2, 0.8, 0.5], [0.1] * 4, [1.0] * 4, 1.0, 2
    solution = solve_deployment(*arguments, solver=solver)
    assert solution.deployed == (0, 2)
    assert solution.weights.tolist() == [1.0, 0.0, 0.0, 0.0]


@SOLVERS
def test_free_slots_weigh_cost_at_the_budgets_price(solver: str) -> None:
    # The budget binds between arms 0 and 1 at 0.4 reward per unit of cost, so arm 3, worse but
    # cheap, is worth more than arm 2, better but expensive.
    arguments = [0.9, 0.5, 0.7, 0.4], [2.0, 1.0, 3.0, 0.9], [1.0] * 4, 1.5, 3
    solution = solve_deployment(*arguments, solver=solver)
    assert solution.budget_price == pytest.approx(0.4)
    assert solution.deployed == (0, 1, 3)


@SOLVERS
def test_stand_ins_are_chosen_for_a_budget_as_scarce_as_it_is_now(solver: str) -> None:
    # Arm 0 is all optimism: with it money is no object, and the expensive arm 1 looks like the best
    # second. At today's price of 0.4 the cheap arm 2 is the better stand-in.
    arguments = [1.0, 0.7, 0.5], [0.1, 2.0, 0.2], [1.0] * 3, 1.0, 2
    assert solve_deployment(*arguments, solver=solver).deployed == (0, 1)
    assert solve_deployment(*arguments, solver=solver, current_price=0.4).deployed == (0, 2)


@SOLVERS
def test_cheapest_set_where_the_budget_cannot_be_met(solver: str) -> None:
    cost = np.array([5.0, 3.0, 4.0, 6.0])
    solution = solve_deployment([1.0, 0.5, 0.7, 0.9], cost, [0.5] * 4, 1.0, 2, solver=solver)
    assert solution.status == "budget_infeasible"
    assert solution.deployed == (1, 2)
    assert solution.spend == pytest.approx(3.5)
    assert solution.budget_price == np.inf


@SOLVERS
def test_cheapest_set_through_the_mip(solver: str) -> None:
    # Three slots cannot hold the four cheapest quarters, so cardinality matters.
    cost = np.array([1.0, 1.0, 1.0, 1.0, 2.0, 2.0])
    cap = np.array([0.25, 0.25, 0.25, 0.25, 0.5, 0.6])
    solution = solve_deployment(np.ones(6), cost, cap, 0.5, 3, solver=solver)
    assert solution.status == "budget_infeasible"
    assert solution.solved_by == solver
    assert solution.spend == pytest.approx(1.5)


@SOLVERS
def test_largest_caps_where_caps_cannot_sum_to_one(solver: str) -> None:
    arguments = [0.9, 0.1, 0.2], [1.0] * 3, [0.1, 0.4, 0.3], 9.0, 2
    solution = solve_deployment(*arguments, solver=solver)
    assert solution.status == "cap_infeasible"
    assert solution.deployed == (1, 2)
    assert solution.weights == pytest.approx([0.0, 4 / 7, 3 / 7])


@pytest.mark.parametrize(
    ("solver", "message"), [("highs", "Time limit reached"), ("native", "after 1 nodes")]
)
def test_time_limit_ends_in_an_error_that_says_so(solver: str, message: str) -> None:
    generator = np.random.default_rng(0)
    size = 400
    reward, cost = generator.random(size), generator.random(size)
    cap = generator.uniform(0.02, 0.08, size)
    with pytest.raises(SolverError, match=rf"without a proven optimum.*{message}"):
        solve_deployment(reward, cost, cap, 0.3, 16, solver=solver, time_limit=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": [np.nan, 0.5]}, r"reward\[0\] = NaN: must be finite"),
        ({"cost": [0.1, -0.1]}, r"cost\[1\] = -0.1: a cost must be finite and not negative"),
        ({"cost": [0.1]}, r"cost has 1 elements; it must have 2"),
        ({"throughput_cap": [0.0, 1.0]}, r"throughput_cap\[0\] = 0: must be in \(0, 1\]"),
        ({"throughput_cap": [0.5, 1.5]}, r"throughput_cap\[1\] = 1.5: must be in \(0, 1\]"),
        ({"budget": -1.0}, r"budget = -1: must be finite and not negative"),
        ({"budget": np.inf}, r"budget = inf: must be finite and not negative"),
        ({"max_deployed": 0}, r"max_deployed = 0: must be a whole number, at least 1"),
        ({"max_deployed": 1.5}, r"max_deployed = 1.5: must be a whole number"),
        ({"solver": "magic"}, r"solver = 'magic': must be one of highs, native"),
        ({"current_price": -1.0}, r"current_price = -1.0: must be finite and not negative"),
        ({"time_limit": 0}, r"time_limit = 0: must be finite and above 0, in seconds"),
    ],
)
@SOLVERS
def test_bad_input(solver: str, changes: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {
        "solver": solver,
        "reward": [0.5, 0.5],
        "cost": [0.1, 0.1],
        "throughput_cap": [1.0, 1.0],
        "budget": 1.0,
        "max_deployed": 1,
    }
    with pytest.raises(InvalidInputError, match=message):
        solve_deployment(**(arguments | changes))  # type: ignore[arg-type]


@SOLVERS
def test_no_candidates(solver: str) -> None:
    with pytest.raises(InvalidInputError, match="reward is empty: there must be at least one arm"):
        solve_deployment([], [], [], 1.0, 1, solver=solver)
