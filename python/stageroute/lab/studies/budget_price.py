"""Whether the dual price of the budget stays bounded by some Λ in practice."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from stageroute._core import solve_routing_lp
from stageroute.lab.episodes import Episode
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.budget_price_summary import FREE, PACED, summarise
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Summary
from stageroute.policies import Limits
from stageroute.policies.base import Floats
from stageroute.replay.metrics import oracle_parts
from stageroute.workloads import (
    Adversarial,
    Changing,
    LargePool,
    PriceCut,
    StateOfTheArt,
    Workload,
)

__all__ = ["BudgetPrice", "price_bound"]

RATIOS: Final = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0, 10.0)
"""Budgets, in units of what the cheapest mixture of the models at the start costs."""

SMALL_RATIOS: Final = (1.05, 2.0)


@dataclass(frozen=True)
class Yardsticks:
    """What is known of a workload without running a policy, in units of reward per b USD.

    Attributes
    ----------
    oracle : float
        Largest price of the stage oracle over the stages where the budget can be met.
    bound : float
        Largest `price_bound` over the same stages.
    """

    oracle: float
    bound: float


class BudgetPrice(Study):
    """StageRoute's price of the budget over workloads, and budgets down to the cheapest mixture."""

    name = "budget-price"
    question = "Does the dual price of the budget stay bounded by some Λ in practice?"

    def settings(self) -> StudySettings:
        """Return the full setting; budgets follow from each workload's costs."""
        return replace(super().settings(), seeds=tuple(range(10)))

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return StageRoute with and without pacing, for every workload and ratio."""
        ratios = SMALL_RATIOS if settings.is_small else RATIOS
        return [
            _episode(settings, workload, ratio, pacing, seed)
            for workload in _workloads(settings)
            for seed in settings.seeds
            for ratio in ratios
            for pacing in (PACED, FREE)
        ]

    def summarise(self, results: StudyResults) -> Summary:
        """Tell how large prices became."""
        return summarise(results, self.question)


def price_bound(reward: Floats, cost: Floats, caps: Floats, budget: float) -> float:
    """Return a bound on the budget's price in the routing LP, reward per USD.

    The LP's value V(b) is concave in b and rises from V(b_min), that of the cheapest mixture, to
    V(∞). A concave function is never steeper at b than on average before it, so

        λ = V'(b) <= (V(b) - V(b_min)) / (b - b_min) <= (V(∞) - V(b_min)) / (b - b_min).

    Infinite where the budget does not exceed b_min.
    """
    cheapest = solve_routing_lp(reward, cost, caps, 0.0)
    if budget <= cheapest.spend:
        return float("inf")
    richest = solve_routing_lp(reward, cost, caps, float(cost.max()) + budget)
    return max(0.0, richest.objective - cheapest.objective) / (budget - cheapest.spend)


def _workloads(settings: StudySettings) -> list[Workload]:
    base = settings.workload
    workloads = [base, Changing(base, PriceCut()), Adversarial(base, "dear_first")]
    if not settings.is_small:
        workloads += [Adversarial(base, "bad_luck_first"), StateOfTheArt(), LargePool(200)]
    return workloads


def _episode(
    settings: StudySettings, workload: Workload, ratio: float, pacing: str, seed: int
) -> Episode:
    budget = ratio * _cheapest_at_start(workload, settings.num_queries, settings.limits)
    limits = settings.at_budget(budget)
    if pacing == FREE:
        limits = replace(limits, pacing_horizon=None)
    known = _yardsticks(workload, settings.num_queries, settings.num_stages, limits)
    return Episode(
        workload=workload,
        policy="stageroute",
        limits=limits,
        num_queries=settings.num_queries,
        num_stages=settings.num_stages,
        seed=seed,
        cell=(
            ("ratio", ratio),
            ("pacing", pacing),
            ("oracle", known.oracle),
            ("bound", known.bound),
        ),
    )


@lru_cache(maxsize=64)
def _cheapest_at_start(workload: Workload, num_queries: int, limits: Limits) -> float:
    """Return what the cheapest mixture of the models at the start costs, USD per query."""
    stream = workload.stream(num_queries, 0)
    present, means = stream.candidates(0), stream.regimes[0]
    caps = limits.caps(stream.table.num_models)[present]
    return solve_routing_lp(means.reward[present], means.cost[present], caps, 0.0).spend


@lru_cache(maxsize=256)
def _yardsticks(
    workload: Workload, num_queries: int, num_stages: int, limits: Limits
) -> Yardsticks:
    stream = workload.stream(num_queries, 0)
    caps = limits.caps(stream.table.num_models)
    starts = stream.stage_starts(num_stages)
    parts = oracle_parts(stream, replace(limits, solver="native"), starts)
    prices = parts.budget_price[np.isfinite(parts.budget_price)]
    bounds = []
    for start in starts.tolist():
        present, means = stream.candidates(start), stream.regime(start)
        problem = means.reward[present], means.cost[present], caps[present]
        bounds.append(price_bound(*problem, limits.budget))
    finite = [bound for bound in bounds if np.isfinite(bound)]
    budget = limits.budget
    return Yardsticks(
        oracle=budget * float(prices.max(initial=0.0)), bound=budget * max(finite, default=np.inf)
    )
