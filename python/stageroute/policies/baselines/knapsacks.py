"""Bandits with knapsacks: primal-dual policies for which budget and caps are resources."""

import math
from abc import abstractmethod
from typing import ClassVar, Final

import numpy as np

from stageroute._core import Kernel
from stageroute.policies.base import Arms, KernelPolicy, Setting, first_by

LARGEST_BILL: Final = 100.0
"""What a query costs at most, in multiples of b."""


class KnapsackPolicy(KernelPolicy):
    """Bandits with knapsacks: b T USD for the horizon, and α_m of each stage for each live model.

    Each query goes to the live model of the highest value at today's prices of money and shares,
    and prices rise and fall with what is used. Rewards and costs enter by the bounds of
    `Limits.confidence`: the published radii hold a constant of order ln(N T) for the sake of the
    proof, with which no policy learns in time.

    The published algorithms stop when a resource is used up. Traffic must go on here: a model
    whose share of the stage is used up is passed over until the next stage; and when what is left
    of the money just pays for the cheapest mixture, the cheapest model serves. So neither rule
    takes anything that the policy could still have earned.

    Deployment: the candidates of the highest value at the mean price of the last stage. Prices
    wander around the optimal ones; their mean is what converges.
    """

    method: ClassVar[str]

    def __init__(self, setting: Setting) -> None:
        limits, core = setting.limits, setting.core()
        self._max_deployed = limits.max_deployed
        largest_bill = core["confidence"]["cost_ceiling"]
        scarcest = min(limits.budget / largest_bill, *core["throughput_cap"])
        step = self._step(scarcest, limits.max_deployed, core["horizon"])
        self.kernel = Kernel("knapsack", core | {"method": self.method, "step": step})

    @staticmethod
    @abstractmethod
    def _step(scarcest: float, max_deployed: int, horizon: int) -> float:
        """Step of the prices; `scarcest` is the smallest resource, per query and largest use."""

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy the candidates of the highest value, ties towards the cheaper."""
        value, cost = (np.asarray(column)[candidates] for column in self.kernel.begin_stage())
        live = first_by(candidates, self._max_deployed, cost, -value)
        self.kernel.publish(live)
        return live


class PrimalDualBwkPolicy(KnapsackPolicy):
    """PrimalDualBwK (Badanidiyuru, Kleinberg & Slivkins 2013, 2018): most reward per price.

    Value: μ^U over the priced consumption, time included. Weights are multiplied by
    (1 + ε)^consumption, ε = sqrt(ln d / B), as they prescribe for B, the scarcest of d resources in
    units of its largest use; a query is taken to cost `Confidence.cost_ceiling` at most. Money
    counts as billed rather than as estimated from below, which would overspend.
    """

    name = "bwk"
    method = "multiplicative_weights"

    @staticmethod
    def _step(scarcest: float, max_deployed: int, horizon: int) -> float:
        # ε times the consumption that resources are scaled by, B / T; d: money, time, shares.
        return math.sqrt(math.log(max_deployed + 2) * scarcest / horizon)


class AgrawalDevanurPolicy(KnapsackPolicy):
    """Agrawal & Devanur (2014, 2019): reward less priced consumption, prices by online descent.

    Value: μ^U - Z λ·(c^L - b) over all resources. Any online learner may set the prices; this is
    projected gradient descent with its step 1 / (G sqrt(T)), where G = 100: a query may cost some
    100 times b. The price of money starts at 0 and so much money goes early; on the surrogate,
    mirror descent, or a larger step, did worse. Money counts as billed, as in their linear
    contextual version (2016).
    """

    name = "bwk-agrawal-devanur"
    method = "gradient_descent"

    @staticmethod
    def _step(scarcest: float, max_deployed: int, horizon: int) -> float:  # noqa: ARG004
        return 1.0 / (LARGEST_BILL * math.sqrt(horizon))
