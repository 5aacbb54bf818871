"""Policies that know what others must learn."""

import numpy as np

from stageroute._core import Mixture
from stageroute.deployment import solve_deployment
from stageroute.policies.base import Arms, Floats, KernelPolicy, Limits, Setting

__all__ = ["StageOraclePolicy", "optimum"]


def optimum(
    candidates: Arms,
    mean_reward: Floats,
    mean_cost: Floats,
    limits: Limits,
    *,
    current_price: float = 0.0,
) -> tuple[tuple[int, ...], Floats]:
    """Return the best live set of the candidates, and its mixture, shape (N,), over all arms.

    The means are over all arms; `current_price` as in `solve_deployment`.
    """
    solution = solve_deployment(
        mean_reward[candidates],
        mean_cost[candidates],
        limits.caps(mean_reward.size)[candidates],
        limits.budget,
        limits.max_deployed,
        solver=limits.solver,
        current_price=current_price,
    )
    probabilities = np.zeros(mean_reward.size)
    probabilities[candidates] = solution.weights
    return tuple(int(candidates[slot]) for slot in solution.deployed), probabilities


class StageOraclePolicy(KernelPolicy):
    """Knows the true means and takes the optimum of every stage; regret is measured against it.

    Where the means change within a stage, it learns of it at the next boundary.
    """

    name = "oracle"

    def __init__(self, setting: Setting) -> None:
        self._stream, self._limits = setting.stream, setting.limits
        self._starts = iter(setting.stream.stage_starts(setting.num_stages).tolist())
        self.kernel = self._mixture = Mixture(setting.num_models, setting.seed)

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy and fix the mixture of the stage."""
        regime = self._stream.regime(next(self._starts))
        live, probabilities = optimum(candidates, regime.reward, regime.cost, self._limits)
        self._mixture.publish(live, probabilities)
        return live
