"""The same contestants one by one, for pytest-benchmark: to follow one of them over time.

pytest benches/python --benchmark-only. For ratios use ratios.py, which interleaves the contestants.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import measuring
import ratios
import steps
from numba_rival import NumbaRouter
from rivals import KeptLp, NumpyHighsRouter, TunedHighsRouter, solve_plain_mip
from stageroute import solve_deployment, solve_routing_lp
from workloads import BUDGET, Workload, deployment_instances, make_workload

Benchmark = Callable[..., Any]

STEPS = 1_024
MAKERS: dict[str, Callable[[Workload], measuring.Batch]] = {
    "ours": lambda w: steps.step_ours(w.make_router(seed=1), w, STEPS),
    "numba": lambda w: steps.step_numba(NumbaRouter(w.settings, 1), w, STEPS),
    "numpy-highs": lambda w: steps.step_by_arm(NumpyHighsRouter(w.settings, 1), w, STEPS),
    "tuned-highs": lambda w: steps.step_by_arm(TunedHighsRouter(w.settings, 1), w, STEPS),
    "random-choices": lambda w: steps.step_choices(w, STEPS),
}


@pytest.mark.parametrize("num_models", steps.MODEL_COUNTS)
@pytest.mark.parametrize("contestant", list(MAKERS))
def test_steps(benchmark: Benchmark, contestant: str, num_models: int) -> None:
    """1,024 steps."""
    batch = MAKERS[contestant](make_workload(num_models))
    for _ in range(4):
        batch()
    benchmark(batch)


@pytest.mark.parametrize("num_models", steps.MODEL_COUNTS)
@pytest.mark.parametrize("contestant", ["ours", "highs", "tuned-highs"])
def test_lp(benchmark: Benchmark, contestant: str, num_models: int) -> None:
    """One LP."""
    generator = np.random.default_rng(0)
    reward, cost = generator.random(num_models), generator.random(num_models) * 2.0 * BUDGET
    cap = np.full(num_models, 0.5)
    if contestant == "ours":
        benchmark(solve_routing_lp, reward, cost, cap, BUDGET)
        return
    lp = KeptLp(reward, cost, cap, BUDGET, is_tuned=contestant == "tuned-highs")
    rewards = [float(reward[0]), float(reward[0]) * 0.99]

    def solve() -> None:
        rewards.reverse()
        lp.set_reward(0, rewards[0])
        lp.solve()

    benchmark(solve)


@pytest.mark.parametrize("num_models", [11, 32, 100])
@pytest.mark.parametrize("contestant", ["ours", "highs"])
def test_deployment(benchmark: Benchmark, contestant: str, num_models: int) -> None:
    """Ten problems."""
    solve: Callable[..., object] = solve_deployment if contestant == "ours" else solve_plain_mip
    problems = deployment_instances(num_models, 10)

    def solve_all() -> None:
        for problem in problems:
            solve(problem.reward, problem.cost, problem.cap, problem.budget, ratios.MAX_DEPLOYED)

    benchmark(solve_all)
