"""The best live set and mixture at given means, and what money is worth there."""

from collections.abc import Sequence

import numpy as np

from stageroute._core import solve_routing_lp
from stageroute.config.constraints import DeploymentConstraints
from stageroute.deployment.solve import solve_deployment
from stageroute.policies.base import Arms, Floats, KernelPolicy, Limits


def optimum(
    candidates: Arms,
    mean_reward: Floats,
    mean_cost: Floats,
    limits: Limits,
    *,
    current_price: float = 0.0,
    live: Sequence[int] = (),
    stage_queries: int | None = None,
) -> tuple[tuple[int, ...], Floats]:
    """Return the best live set of the candidates, and its mixture, shape (N,), over all arms.

    The means are over all arms; `current_price` as in `solve_deployment`, and 0 where it is
    infinite. Where the number of queries of the stage is given, what starting arms costs that are
    not among the `live` ones is spread over them, and counts against the budget.
    """
    constraints, previous = None, None
    if stage_queries is not None and limits.start_cost > 0.0:
        start_cost = np.full(candidates.size, limits.start_cost / stage_queries)
        constraints = DeploymentConstraints(start_cost=start_cost)
        previous = np.flatnonzero(np.isin(candidates, live)).tolist()
    solution = solve_deployment(
        mean_reward[candidates],
        mean_cost[candidates],
        limits.caps(mean_reward.size)[candidates],
        limits.budget,
        limits.max_deployed,
        solver=limits.solver,
        previous=previous,
        current_price=current_price if np.isfinite(current_price) else 0.0,
        constraints=constraints,
    )
    probabilities = np.zeros(mean_reward.size)
    probabilities[candidates] = solution.weights
    return tuple(int(candidates[slot]) for slot in solution.deployed), probabilities


def relaxed_price(
    candidates: Arms, mean_reward: Floats, mean_cost: Floats, limits: Limits
) -> float:
    """Return the budget's price over all candidates, M_max apart, reward per USD.

    Within a live set that M_max forces, money may have no price at all. Infinite where no mixture
    meets the budget.
    """
    caps = limits.caps(mean_reward.size)[candidates]
    means = mean_reward[candidates], mean_cost[candidates]
    return solve_routing_lp(*means, caps, limits.budget).budget_price


class OptimumPolicy(KernelPolicy):
    """A policy that deploys the optimum at what its kernel takes models to be worth and to cost."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Deploy the optimum; free slots are valued at the last price, as StageRoute does."""
        reward, cost = map(np.array, self.kernel.begin_stage())
        price = self.kernel.budget_price()
        live, _ = optimum(candidates, reward, cost, self._limits, current_price=price)
        start = relaxed_price(candidates, reward, cost, self._limits)
        self.kernel.publish(live, price=start if np.isfinite(start) else 0.0)
        return live
