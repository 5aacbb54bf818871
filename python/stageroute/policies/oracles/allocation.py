"""How a total of money is best spread over stages.

    max Σ_k n_k μ_k·p_k   s.t.  Σ_k n_k c_k·p_k <= B,  each p_k a mixture of at most M_max
                                candidates of stage k within their caps

At a price λ of money the stages come apart: each maximises (μ_k - λ c_k)·p_k. Spend falls in λ;
the price at which it falls through B is found by bisection. Where a stage has several optima at
that price, the difference in their spend is what fills B.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from stageroute.deployment.solve import solve_deployment
from stageroute.policies.base import Arms, Floats, Limits

__all__ = ["StageProblem", "allocate"]

Mixture = tuple[tuple[int, ...], Floats]
"""The live set and its mixture, shape (N,)."""

Key = tuple[bytes, bytes, bytes]

HIGHEST_PRICE: Final = 2.0**40
"""In rewards per mean budget of a query; beyond it only cost counts."""

BISECTIONS: Final = 200
"""A bound; the bisection ends when no number lies between the two prices."""

TOLERANCE: Final = 1e-10
"""Two mixtures' rewards that differ by less are alike."""


@dataclass(frozen=True, eq=False, slots=True)
class StageProblem:
    """One stage.

    Attributes
    ----------
    queries : int
        Its length.
    candidates : ndarray of int
        Ascending.
    reward, cost, caps : ndarray, shape (N,)
        Mean reward and cost (USD) of every model, and its cap.
    """

    queries: int
    candidates: Arms
    reward: Floats
    cost: Floats
    caps: Floats

    @property
    def key(self) -> Key:
        """The same for stages that differ in length alone."""
        return self.candidates.tobytes(), self.reward.tobytes(), self.cost.tobytes()

    def best(self, limits: Limits, reward: Floats, cost: Floats, budget: float) -> Mixture:
        """Return the optimum of another objective and budget over the same candidates and caps."""
        own = self.candidates
        solution = solve_deployment(
            reward[own],
            cost[own],
            self.caps[own],
            budget,
            limits.max_deployed,
            solver=limits.solver,
        )
        mixture = np.zeros(self.reward.size)
        mixture[own] = solution.weights
        return tuple(int(own[slot]) for slot in solution.deployed), mixture


class _Kind:
    """Stages that differ in length alone."""

    def __init__(self, problem: StageProblem, limits: Limits) -> None:
        self.problem = problem
        self.queries = 0
        self._limits = limits

    def at_price(self, price: float) -> Mixture:
        """Return the optimum at a price of money; the cheapest mixture at an infinite one."""
        problem = self.problem
        value = -problem.cost if np.isinf(price) else problem.reward - price * problem.cost
        return problem.best(self._limits, value, np.zeros_like(value), 0.0)

    def at_budget(self, budget: float) -> Mixture:
        """Return the optimum within a budget, USD per query."""
        problem = self.problem
        return problem.best(self._limits, problem.reward, problem.cost, budget)

    def spend(self, mixture: Mixture) -> float:
        """USD per query."""
        return float(self.problem.cost @ mixture[1])

    def reward(self, mixture: Mixture) -> float:
        """Mean reward."""
        return float(self.problem.reward @ mixture[1])


def allocate(problems: Sequence[StageProblem], total: float, limits: Limits) -> list[Mixture]:
    """Return the best mixture of each stage for a total of `total` USD, whatever `limits.budget`.

    Exact where `max_deployed` does not bind. Where it does, what a stage can earn is not concave in
    its money, and one stage at most earns less than the concave bound. If no mixtures meet the
    total, the cheapest ones are returned.
    """
    kinds: dict[Key, _Kind] = {}
    for problem in problems:
        kind = kinds.setdefault(problem.key, _Kind(problem, limits))
        kind.queries += problem.queries

    def solve(price: float) -> tuple[dict[Key, Mixture], float]:
        mixtures = {key: kind.at_price(price) for key, kind in kinds.items()}
        spend = sum(kind.queries * kind.spend(mixtures[key]) for key, kind in kinds.items())
        return mixtures, spend

    lean, rich = _bracket(solve, total, sum(kind.queries for kind in kinds.values()))
    left = total - sum(kind.queries * kind.spend(lean[key]) for key, kind in kinds.items())
    chosen: dict[Key, list[Mixture]] = {}
    for key, kind in kinds.items():
        lengths = [problem.queries for problem in problems if problem.key == key]
        chosen[key] = _fill(kind, lengths, lean[key], rich[key], max(left, 0.0))
        spends = map(kind.spend, chosen[key])
        used = sum(n * spend for n, spend in zip(lengths, spends, strict=True))
        left -= used - kind.queries * kind.spend(lean[key])
    iterators = {key: iter(mixtures) for key, mixtures in chosen.items()}
    return [next(iterators[problem.key]) for problem in problems]


def _bracket(
    solve: Callable[[float], tuple[dict[Key, Mixture], float]], total: float, queries: int
) -> tuple[dict[Key, Mixture], dict[Key, Mixture]]:
    """Find the price at which spend falls through the total; return the optima on either side.

    The first spends at most the total, where that can be; the second at least, where it can be.
    """
    rich, spend = solve(0.0)
    if spend <= total:
        return rich, rich
    lean, spend = solve(np.inf)
    if spend > total:
        return lean, lean
    low, high = 0.0, queries / total
    while (found := solve(high))[1] > total and high < HIGHEST_PRICE * queries / total:
        low, high, rich = high, 2.0 * high, found[0]
    if found[1] > total:
        return lean, rich
    lean = found[0]
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        mixtures, spend = solve(middle)
        if spend <= total:
            high, lean = middle, mixtures
        else:
            low, rich = middle, mixtures
    return lean, rich


def _fill(
    kind: _Kind, lengths: Sequence[int], lean: Mixture, rich: Mixture, left: float
) -> list[Mixture]:
    """Spend up to `left` USD more than the lean mixture does on stages of one kind."""
    least, extra = kind.spend(lean), kind.spend(rich) - kind.spend(lean)
    if extra <= 0.0 or left <= 0.0:
        return [lean] * len(lengths)
    if kind.queries * extra <= left:
        return [rich] * len(lengths)
    # Alike in all stages, unless going from one mixture to the other takes more live models.
    part = left / kind.queries
    even = kind.at_budget(least + part)
    bound = kind.reward(lean) + (kind.reward(rich) - kind.reward(lean)) * part / extra
    if kind.reward(even) >= bound - TOLERANCE:
        return [even] * len(lengths)
    mixtures = []
    for length in lengths:
        part = min(left / length, extra)
        mixtures.append(rich if part == extra else kind.at_budget(least + part))
        left = max(left - length * (kind.spend(mixtures[-1]) - least), 0.0)
    return mixtures
