"""The routing LP and the deployment MIP against exact optima."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from stageroute import solve_deployment, solve_routing_lp

Vectors = dict[str, list[dict[str, Any]]]

BOUNDARY_BAND = 1e-9


def lp_is_at_boundary(vector: dict[str, Any]) -> bool:
    band = BOUNDARY_BAND * max(vector["cost"])
    budget_margin = vector["budget_margin"]
    return abs(vector["cap_margin"]) <= BOUNDARY_BAND or (
        budget_margin is not None and abs(budget_margin) <= band
    )


def test_routing_lp_matches_every_vector(vectors: Vectors) -> None:
    worst = 0.0
    for v in vectors["lp"]:
        solution = solve_routing_lp(v["reward"], v["cost"], v["cap"], v["budget"])
        if solution.status != v["status"]:
            assert lp_is_at_boundary(v), v["id"]
            continue
        assert solution.primal_residual <= 1e-9, v["id"]
        assert solution.dual_residual <= 1e-9, v["id"]
        if v["status"] == "optimal":
            worst = max(worst, abs(solution.objective - v["objective"]))
            assert solution.spend == pytest.approx(
                float(solution.probabilities @ v["cost"]), rel=1e-9, abs=1e-15
            )
    assert worst <= 1e-9


def mip_is_at_boundary(vector: dict[str, Any]) -> bool:
    """Whether a change of the data within the band turns the verdict around."""
    cost, cap = np.asarray(vector["cost"]), np.asarray(vector["cap"])
    slots = min(vector["max_deployed"], cost.size)
    cheapest = np.inf
    for chosen in combinations(range(cost.size), slots):
        arms = list(chosen)
        if abs(cap[arms].sum() - 1.0) <= BOUNDARY_BAND:
            return True
        if cap[arms].sum() >= 1.0:
            least = solve_routing_lp(-cost[arms], 0 * cost[arms], cap[arms], 0.0)
            cheapest = min(cheapest, -least.objective)
    return bool(abs(cheapest - vector["budget"]) <= BOUNDARY_BAND * cost.max())


@pytest.mark.slow
@pytest.mark.parametrize(("solver", "tolerance"), [("highs", 1e-8), ("native", 1e-9)])
def test_deployment_matches_every_vector(vectors: Vectors, solver: str, tolerance: float) -> None:
    worst, searched = 0.0, 0
    for v in vectors["mip"]:
        arguments = (v["reward"], v["cost"], v["cap"], v["budget"], v["max_deployed"])
        solution = solve_deployment(*arguments, solver=solver)
        verdict = "optimal" if solution.status == "optimal" else "infeasible"
        if verdict != v["status"]:
            assert mip_is_at_boundary(v), v["id"]
            continue
        assert len(solution.deployed) == min(v["max_deployed"], len(v["reward"]))
        searched += solution.solved_by == solver
        if verdict == "optimal":
            worst = max(worst, abs(solution.objective - v["objective"]))
    assert worst <= tolerance
    assert searched > 50


@pytest.mark.slow
def test_deployment_from_the_previous_set_finds_the_same_optimum(vectors: Vectors) -> None:
    for v in vectors["mip"]:
        arguments = (v["reward"], v["cost"], v["cap"], v["budget"], v["max_deployed"])
        cold = solve_deployment(*arguments)
        size = min(v["max_deployed"], len(v["reward"]))
        warm = solve_deployment(*arguments, previous=range(size))
        assert warm.status == cold.status, v["id"]
        assert warm.objective == pytest.approx(cold.objective, abs=1e-8), v["id"]
