"""The routing LP and the deployment MIP through the Python interface: proofs and exact optima.

Laws of the LP itself, and its vectors, are tested in Rust; here, that answers arrive as they are.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stageroute import solve_deployment, solve_routing_lp
from stageroute.errors import InvalidInputError

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, float]


def make_problem(seed: int) -> Problem:
    """Build a problem with ties, free arms and costs of any size.

    Six decimals: below 1e-9 of the largest cost a verdict may fall either way.
    """
    generator = np.random.default_rng(seed)
    size = int(generator.integers(1, 13))

    def values() -> np.ndarray:
        grid = generator.choice([0.0, 0.25, 0.5, 1.0], size)
        return np.where(generator.random(size) < 0.4, grid, generator.random(size).round(6))

    unit = generator.choice([1e-9, 1e-3, 1.0, 1e3])
    cap = np.where(generator.random(size) < 0.3, 1.0, generator.uniform(0.05, 1.0, size))
    return values(), unit * values(), cap, float(unit * round(generator.random(), 6))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1).map(make_problem))
def test_answers_are_feasible_and_certified(problem: Problem) -> None:
    reward, cost, cap, budget = problem
    solution = solve_routing_lp(*problem)
    p, unit = solution.probabilities, cost.max()
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.all(p >= 0.0)
    assert solution.objective == pytest.approx(reward @ p, abs=1e-12)
    assert solution.spend == pytest.approx(cost @ p, abs=1e-12 * unit)
    if solution.status == "cap_infeasible":
        assert cap.sum() < 1.0
        return
    assert np.all(p <= cap + 1e-12)
    assert abs(solution.gap) <= 1e-9 * max(1.0, unit)
    assert solution.primal_residual <= 1e-9
    assert solution.dual_residual == 0.0
    assert np.all(solution.cap_prices >= 0.0)
    if solution.status == "optimal":
        score = reward - solution.budget_price * cost - solution.mass_price
        np.testing.assert_allclose(solution.cap_prices, np.maximum(score, 0.0), atol=1e-9)
    assert (cost @ p <= budget + 1e-11 * unit) == (solution.status == "optimal")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([np.inf], [1.0], [1.0], 1.0), r"reward\[0\] = inf: must be finite"),
        (([0.5], [-1.0], [1.0], 1.0), r"cost\[0\] = -1: a cost must be finite and not negative"),
        (([0.5], [1.0], [2.0], 1.0), r"throughput_cap\[0\] = 2: must be in \(0, 1\]"),
        (([0.5], [1.0], [1.0], np.nan), "budget = NaN: must be finite and not negative"),
        (([0.5, 0.5], [1.0], [1.0], 1.0), "cost has 1 elements; it must have 2, one for each"),
        (([], [], [], 1.0), "reward is empty"),
    ],
)
def test_bad_input(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        solve_routing_lp(*arguments)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "tolerance"), [("highs", 1e-8), ("native", 1e-9)])
def test_deployment_matches_every_vector(shared_data: Path, solver: str, tolerance: float) -> None:
    """From nothing, and from the set that was live before."""
    searched = 0
    for line in (shared_data / "vectors" / "mip.jsonl").read_text().splitlines():
        v = json.loads(line)
        problem = (v["reward"], v["cost"], v["cap"], v["budget"], v["max_deployed"])
        size = min(v["max_deployed"], len(v["reward"]))
        cold = solve_deployment(*problem, solver=solver)
        warm = solve_deployment(*problem, solver=solver, previous=range(size))
        assert warm.status == cold.status, v["id"]
        assert warm.objective == pytest.approx(cold.objective, abs=1e-8), v["id"]
        is_optimal = cold.status == "optimal"
        assert is_optimal == (v["status"] == "optimal"), v["id"]
        assert len(cold.deployed) == size
        searched += cold.solved_by == solver
        if is_optimal:
            assert cold.objective == pytest.approx(v["objective"], abs=tolerance), v["id"]
    assert searched > 50
