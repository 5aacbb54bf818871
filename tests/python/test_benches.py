"""The benches are fair: every rival computes what we compute."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stageroute import solve_deployment, solve_routing_lp

sys.path.insert(0, str(Path(__file__).parents[2] / "benches" / "python"))

import ratios  # noqa: E402
from numba_rival import NumbaRouter, make_jitclass_router  # noqa: E402
from rivals import KeptLp, NumpyHighsRouter, TunedHighsRouter, solve_plain_mip  # noqa: E402
from workloads import Workload, deployment_instances, make_workload  # noqa: E402

HIGHS_TOLERANCE = 1e-6  # HiGHS's own feasibility tolerance is 1e-7

RIVALS = [(NumbaRouter, 1e-9), (NumpyHighsRouter, HIGHS_TOLERANCE), (TunedHighsRouter, 1e-6)]


def spread_out(workload: Workload) -> Workload:
    """The same with a cap below a half, so that arms stand at their cap."""
    return make_workload(len(workload.names), seed=5)


def run_side_by_side(rival: Any, workload: Workload, steps: int, tolerance: float) -> None:
    """Route with ours, let the rival see what we saw, and compare before every decision."""
    ours = workload.make_router(seed=11)
    caps = np.array(workload.settings.caps)
    arm_of = {name: arm for arm, name in enumerate(workload.names)}
    for t in range(steps):
        reward_ucb, cost_lcb = ours._bounds()
        np.testing.assert_allclose(rival.reward_ucb, reward_ucb, rtol=1e-12)
        np.testing.assert_allclose(rival.cost_lcb, cost_lcb, rtol=1e-12, atol=1e-18)
        budget = ours.counters.paced_budget
        exact = solve_routing_lp(reward_ucb, cost_lcb, caps, budget)
        weights = np.array(rival.solve())
        decision = ours.route()
        arm = arm_of[decision.model]
        assert decision.probability == pytest.approx(exact.probabilities[arm], abs=1e-9)
        if exact.status == "optimal":
            assert weights @ reward_ucb == pytest.approx(exact.objective, abs=tolerance)
        if is_unique(exact.probabilities, reward_ucb, cost_lcb, exact.budget_price):
            np.testing.assert_allclose(weights, exact.probabilities, rtol=0, atol=tolerance)
        rival.route()
        outcome = workload.by_arm[t % len(workload.by_arm)][arm]
        ours.observe(decision, reward=outcome[0], cost=outcome[1])
        rival.observe(arm, *outcome)


def is_unique(weights: Any, reward: Any, cost: Any, price: float) -> bool:
    return True


@pytest.mark.parametrize("num_models", [2, 5, 11, 32])
@pytest.mark.parametrize(("make", "tolerance"), RIVALS)
def test_rival_computes_the_same(make: Any, tolerance: float, num_models: int) -> None:
    workload = make_workload(num_models)
    rival = make(workload.settings, 1)
    run_side_by_side(rival, workload, steps=1_000, tolerance=tolerance)
