"""One deployment problem's data, and what the exact LP says of single sets: no solver of MIPs.

A set's value is that of its best mixture. Starting arms costs money whatever they serve, so a set's
start costs are taken off the budget before the LP sees it, or off the value where the problem is to
find the cheapest set.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute._core import solve_routing_lp
from stageroute.deployment.live_sets import TOLERANCE, LiveSets

__all__ = ["Outcome", "Problem"]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]

LEAST_GAIN: Final = 1e-12
"""What an exchange of arms must gain: more than rounding, less than any stated accuracy."""

SUPPORT_TOLERANCE: Final = 1e-12
"""Weights below this come from rounding at a degenerate vertex; their arms need not be live."""


@dataclass(frozen=True, eq=False, slots=True)
class Outcome:
    """What the exact LP says of a live set.

    Attributes
    ----------
    status : str
        As in `DeploymentSolution`, for this set.
    support : ndarray of int
        The arms with weight.
    probabilities : ndarray
        The mixture, in the order of the set's arms.
    objective, spend : float
        Expected reward, and expected cost with the amortised start costs, of a query.
    value : float
        What is maximised: `objective` less the set's charges.
    budget_price, mass_price : float
        Duals of the LP.
    """

    status: str
    support: Arms
    probabilities: Floats
    objective: float
    spend: float
    value: float
    budget_price: float
    mass_price: float


@dataclass(frozen=True, eq=False, slots=True)
class Problem:
    """Maximise Σ μd - Σ charge z, where Σ cd + Σ start z <= budget and z is an allowed set.

    Attributes
    ----------
    reward, cost, cap, start, charge : ndarray, shape (N,)
        `start` (USD per query) counts against the budget, `charge` against the objective.
    budget, current_price : float
        See `solve_deployment`.
    sets : LiveSets
        The sets that may be live.
    """

    reward: Floats
    cost: Floats
    cap: Floats
    start: Floats
    charge: Floats
    budget: float
    current_price: float
    sets: LiveSets

    @property
    def size(self) -> int:
        """How many arms there are."""
        return self.reward.size

    @property
    def largest_cost(self) -> float:
        """The unit of money where differences in spend are judged, USD per query."""
        return max(float(self.cost.max()), float(self.start.max()), float(np.finfo(float).tiny))

    def cheapest(self) -> "Problem":
        """Turn into the problem whose optimum is the set with the lowest spend."""
        unit, zeros = self.largest_cost, np.zeros(self.size)
        return replace(
            self,
            reward=1.0 - self.cost / unit,
            charge=self.start / unit,
            cost=zeros,
            start=zeros,
            budget=0.0,
        )

    def largest(self) -> "Problem":
        """Turn into the problem whose optimum is the set with the largest caps."""
        zeros, ones = np.zeros(self.size), np.ones(self.size)
        return replace(
            self, reward=zeros, charge=-self.cap, cap=ones, cost=zeros, start=zeros, budget=0.0
        )

    def outcome(self, arms: Arms) -> Outcome:
        """Solve the exact LP on a set."""
        start = float(self.start[arms].sum())
        left = self.budget - start
        reward, cost, cap = self.reward[arms], self.cost[arms], self.cap[arms]
        mixture = solve_routing_lp(reward, cost, cap, max(left, 0.0))
        status = mixture.status
        if status == "optimal" and left < -TOLERANCE * self.largest_cost:
            status = "budget_infeasible"
        return Outcome(
            status=status,
            support=arms[mixture.probabilities > SUPPORT_TOLERANCE],
            probabilities=mixture.probabilities,
            objective=mixture.objective,
            spend=mixture.spend + start,
            value=mixture.objective - float(self.charge[arms].sum()),
            budget_price=np.inf if status == "budget_infeasible" else mixture.budget_price,
            mass_price=mixture.mass_price,
        )

    def is_as_good(self, arms: Arms, bound: Outcome) -> bool:
        """Whether a set reaches what no allowed set can exceed."""
        reached = self.outcome(arms)
        if reached.status != bound.status:
            return False
        if bound.status == "optimal":
            return reached.value >= bound.value - LEAST_GAIN
        if bound.status == "budget_infeasible":
            return reached.spend <= bound.spend + LEAST_GAIN * self.largest_cost
        return True

    def needed(self, arms: Arms) -> Arms:
        """Keep a set's arms with weight, and add the pinned ones."""
        return np.union1d(self.outcome(arms).support, np.flatnonzero(self.sets.pinned))

    def complete(self, arms: Arms) -> Arms | None:
        """Keep what is needed of a set, and fill the free slots.

        None where what is needed is too much, or filling misses what is demanded.
        """
        completed = self.fill(self.needed(arms))
        return completed if self.sets.allows(completed) else None

    def fill(self, arms: Arms) -> Arms:
        """Add arms by reduced value μ - λc, highest first, ties to the cheaper arm.

        Only as the constraints allow, and start costs only from what the mixture leaves of the
        budget. Providers that are still demanded come first.
        """
        outcome = self.outcome(arms)
        price = max(outcome.budget_price, self.current_price)
        value = self.reward - price * self.cost if np.isfinite(price) else -self.cost
        order = np.lexsort((np.arange(self.size), self.cost + self.start, -value))
        while True:
            eligible = self.sets.addable(arms) & self.sets.new_provider(arms)
            left = self.budget - outcome.spend if outcome.status == "optimal" else 0.0
            eligible &= self.start <= max(left, 0.0)
            fitting = order[eligible[order]]
            if fitting.size == 0:
                return arms
            arms = np.append(arms, fitting[0])
            outcome = self.outcome(arms)

    def improve(self, arms: Arms) -> Arms:
        """Exchange, add or drop one arm at a time while the exact LP finds a better set."""
        while True:
            better = self._better_neighbour(arms)
            if better is None:
                return arms
            arms = better

    def _better_neighbour(self, arms: Arms) -> Arms | None:
        """Find a better set that differs by one arm less, one more, or both.

        By weak duality the exchange gains at most what the entering arm's cap earns at the prices
        of the present set, less its start cost at the budget's price and its charge, less the same
        of the leaving arm: hardly any needs to be tried.
        """
        present = self.outcome(arms)
        if present.status != "optimal":
            return None
        score = self.reward - present.budget_price * self.cost
        worth = np.maximum(score - present.mass_price, 0.0) * self.cap
        worth -= present.budget_price * self.start + self.charge
        worth = np.append(worth, 0.0)
        leaving = np.append(arms, -1)
        entering = np.append(np.setdiff1d(np.arange(self.size), arms), -1)
        promising = worth[entering] > worth[leaving][:, None] + LEAST_GAIN
        promising &= self.sets.keeps_limits(arms, leaving, entering)
        for out, new in np.argwhere(promising):
            candidate = np.setdiff1d(np.append(arms, entering[new]), [leaving[out], -1])
            if not self.sets.allows(candidate):
                continue
            outcome = self.outcome(candidate)
            if outcome.status == "optimal" and outcome.value > present.value + LEAST_GAIN:
                return candidate
        return None
