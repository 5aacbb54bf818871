"""Bandits with knapsacks: primal-dual policies for which budget and caps are resources."""

import math
from typing import ClassVar

import numpy as np

from stageroute._core import KnapsackRouter
from stageroute.policies.base import Arms, KernelPolicy, Setting

__all__ = ["AgrawalDevanurPolicy", "KnapsackPolicy", "PrimalDualBwkPolicy"]


class KnapsackPolicy(KernelPolicy):
    method: ClassVar[str]
    factor: ClassVar[float] = 1.0

    def __init__(self, setting: Setting) -> None:
        limits = setting.limits
        models = setting.models()
        caps = setting.caps()
        confidence = limits.confidence.resolved(limits.budget, models)
        self._max_deployed = limits.max_deployed
        horizon = setting.stream.num_queries
        step = self.factor * self.step(
            limits.budget / confidence["cost_ceiling"],
            float(caps.min()),
            limits.max_deployed,
            horizon,
        )
        self.kernel = self._router = KnapsackRouter(
            self.method,
            step,
            confidence,
            caps,
            [model.core_prior() for model in models],
            limits.budget,
            horizon,
            horizon / setting.num_stages,
        )

    @staticmethod
    def step(budget: float, cap: float, max_deployed: int, horizon: int) -> float:
        raise NotImplementedError

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy the candidates of the highest value, ties towards the cheaper."""
        value, cost = (np.asarray(column)[candidates] for column in self._router.begin_stage())
        order = np.lexsort((candidates, cost, -value))[: self._max_deployed]
        live = tuple(sorted(candidates[order].tolist()))
        self._router.publish(live)
        return live


class PrimalDualBwkPolicy(KnapsackPolicy):
    name = "bwk"
    method = "multiplicative_weights"

    @staticmethod
    def step(budget: float, cap: float, max_deployed: int, horizon: int) -> float:
        scarcest = min(budget, cap) * horizon
        return math.sqrt(math.log(max_deployed + 2) * scarcest) / horizon


class AgrawalDevanurPolicy(KnapsackPolicy):
    name = "bwk-agrawal-devanur"
    method = "gradient_descent"

    @staticmethod
    def step(budget: float, cap: float, max_deployed: int, horizon: int) -> float:
        return 0.01 / math.sqrt(horizon)
