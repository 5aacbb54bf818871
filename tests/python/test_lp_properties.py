"""Laws of the routing LP, through the Python interface."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stageroute import solve_routing_lp
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


def problems() -> st.SearchStrategy[Problem]:
    return st.integers(0, 2**32 - 1).map(make_problem)


laws = settings(max_examples=300, deadline=None, derandomize=True)


@pytest.mark.slow
@laws
@given(problems())
def test_answers_are_feasible_and_certified(problem: Problem) -> None:
    _, cost, cap, budget = problem
    solution = solve_routing_lp(*problem)
    p, unit = solution.probabilities, cost.max()
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.all(p >= 0.0)
    if solution.status == "cap_infeasible":
        assert cap.sum() < 1.0
        return
    assert np.all(p <= cap + 1e-12)
    assert abs(solution.gap) <= 1e-9 * max(1.0, unit)
    assert solution.primal_residual <= 1e-9
    assert solution.dual_residual == 0.0
    assert np.all(solution.cap_prices >= 0.0)
    if solution.status == "optimal":
        score = problem[0] - solution.budget_price * cost - solution.mass_price
        np.testing.assert_allclose(solution.cap_prices, np.maximum(score, 0.0), atol=1e-9)
    assert (cost @ p <= budget + 1e-11 * unit) == (solution.status == "optimal")


@laws
@given(problems(), st.floats(1e-6, 1e6))
def test_the_unit_of_money_does_not_matter(problem: Problem, factor: float) -> None:
    reward, cost, cap, budget = problem
    solution = solve_routing_lp(*problem)
    scaled = solve_routing_lp(reward, factor * cost, cap, factor * budget)
    if scaled.status != solution.status:  # rounding at the very boundary
        assert solution.spend == pytest.approx(budget, rel=1e-9)
    else:
        assert scaled.objective == pytest.approx(solution.objective, abs=1e-9)


@pytest.mark.slow
@laws
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_arms_does_not_matter(problem: Problem, random: object) -> None:
    reward, cost, cap, budget = problem
    order = list(range(reward.size))
    random.shuffle(order)  # type: ignore[attr-defined]
    solution = solve_routing_lp(*problem)
    permuted = solve_routing_lp(reward[order], cost[order], cap[order], budget)
    assert permuted.status == solution.status
    assert permuted.objective == pytest.approx(solution.objective, abs=1e-12)


@laws
@given(problems(), st.integers(0, 11))
def test_splitting_an_arm_in_two_changes_nothing(problem: Problem, which: int) -> None:
    reward, cost, cap, budget = problem
    arm = which % reward.size
    halves = cap.copy()
    halves[arm] /= 2
    split = solve_routing_lp(
        np.append(reward, reward[arm]),
        np.append(cost, cost[arm]),
        np.append(halves, halves[arm]),
        budget,
    )
    solution = solve_routing_lp(*problem)
    assert split.status == solution.status
    assert split.objective == pytest.approx(solution.objective, abs=1e-9)


@laws
@given(problems(), st.floats(1.0, 3.0))
def test_more_budget_never_hurts(problem: Problem, factor: float) -> None:
    reward, cost, cap, budget = problem
    less, more = solve_routing_lp(*problem), solve_routing_lp(reward, cost, cap, factor * budget)
    if less.status == "optimal":
        assert more.status == "optimal"
        assert more.objective >= less.objective - 1e-12


def test_ties_fall_towards_the_cheaper_arm() -> None:
    solution = solve_routing_lp([0.7, 0.7, 0.7], [3.0, 1.0, 2.0], [0.6, 0.6, 0.6], 10.0)
    assert solution.probabilities == pytest.approx([0.0, 0.6, 0.4])


def test_the_price_of_the_budget_is_its_marginal_value() -> None:
    arguments = [0.9, 0.5, 0.3], [3.0, 1.0, 0.5], [0.5, 1.0, 1.0]
    here, further = solve_routing_lp(*arguments, 1.2), solve_routing_lp(*arguments, 1.2 + 1e-6)
    slope = (further.objective - here.objective) / 1e-6
    assert here.budget_price == pytest.approx(slope, rel=1e-6)


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
