"""Whether the dual price of the budget stays bounded by some Λ in practice."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np

from stageroute._core import solve_routing_lp
from stageroute.lab.columns import band, cell, column, key, mean, stages
from stageroute.lab.declared import Curves, LinesOf, Part, TableOf
from stageroute.lab.episodes import Cell, Episode
from stageroute.lab.power_law import exponent
from stageroute.lab.runs import Run, Runs, Where
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings
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

__all__ = ["BudgetPrice", "infinite_share", "price_bound"]

PACED, FREE = "paced", "not paced"

QUANTILES: Final = ("median", "p90", "p99", "largest")
"""As in `Record.budget_price`."""


RATIOS: Final = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0, 10.0)
"""Budgets, in units of what the cheapest mixture of the models at the start costs."""

SMALL_RATIOS: Final = (1.05, 2.0)
SHOWN_OVER_STAGES: Final = (1.02, 1.05, 1.1, 1.5, 5.0)


def infinite_share(run: Run) -> float:
    """Return the share of the queries at which no mixture met the budget of the moment."""
    counts = json.loads(run.record.lp_counts)
    short = counts.get("throttled", 0) + counts.get("budget_infeasible", 0)
    return float(short / run.record.num_queries)


def price(quantile: str) -> Callable[[Run], float]:
    """Return what gives a quantile of the finite prices, in rewards per b USD; NaN without any."""
    place = QUANTILES.index(quantile)

    def of(run: Run) -> float:
        found = run.record.budget_price
        return found[place] * run.record.budget if found else float("nan")

    return of


def _middle(quantile: str) -> Callable[[Runs], float]:
    """Return what gives the median over the seeds of a quantile; NaN where no price is finite."""

    def of(runs: Runs) -> float:
        found = column(runs, price(quantile))
        return float(np.nanmedian(found)) if np.isfinite(found).any() else float("nan")

    return of


def _largest(runs: Runs) -> float:
    return float(np.nanmax(column(runs, price("largest")), initial=0.0))


def _usual(runs: Runs) -> float:
    """Return the 99th percentile that 95 % of the streams do not exceed."""
    return float(np.nanquantile(column(runs, price("p99")), 0.95))


def _by_stage(run: Run) -> Floats:
    return run.record.budget * np.array(run.record.stage_budget_price)


def _price_cell(of: Callable[[Runs], float]) -> Callable[[Runs], str]:
    return lambda runs: f"{of(runs):.3g}" if any(r.record.budget_price for r in runs) else "-"


def _keeps_to_bound(runs: Runs) -> float:
    """Return the share of the runs whose prices keep to the bound that holds for true means."""
    return float(
        np.mean(
            [_largest([run]) <= run["bound"] * (1 + 1e-9) for run in runs if run["bound"] < np.inf]
        )
    )


def _above_cheapest(run: Run) -> float:
    return float(run["ratio"]) - 1.0


def _curves(name: str, of: Callable[[Runs], float], where: Where = MappingProxyType({})) -> Curves:
    """Return curves by pacing for a logarithmic axis: without points where the figure is 0."""
    return Curves(lambda runs: of(runs) or float("nan"), "pacing", f"{name}, {{}}", where)


class BudgetPrice(Study):
    """StageRoute's price of the budget over workloads, and budgets down to the cheapest mixture.

    Budgets follow from each workload's costs.
    """

    name = "budget-price"
    title = "The budget's price"
    question = "Does the dual price of the budget stay bounded by some Λ in practice?"
    full = StudySettings(seeds=tuple(range(10)))

    overall = TableOf(
        "Over all workloads", ("pacing",),
        {
            "pacing": key("pacing"),
            "largest λ b": cell(_largest, ".3g"),
            "p99, 95 % of the streams": cell(_usual, ".3g"),
            "keep to the bound": cell(_keeps_to_bound, ".0%"),
            "infinite": mean(infinite_share, ".1%"),
        },
        "Largest finite λ, in rewards per b USD; the 99th percentile of a stream that 95 % of the "
        "streams do not exceed; the share of the streams that keep to the bound; the share of the "
        "queries without a finite price.",
    )  # fmt: skip
    growth = TableOf(
        "How the 99th percentile grows as the budget approaches that of the cheapest mixture",
        ("workload",),
        {
            "workload": key("workload"),
            "(b / cheapest - 1)^": exponent(_above_cheapest, price("p99")),
        },
        where={"pacing": PACED},
    )  # fmt: skip
    by_ratio = TableOf(
        "{workload}, {pacing}", ("ratio",),
        {
            "b / cheapest": key("ratio", "g"),
            "b, USD": key("budget", ".3g"),
            "λ b of StageRoute": {
                **{name: _price_cell(_middle(name)) for name in QUANTILES[:-1]},
                "largest": _price_cell(_largest),
            },
            "λ b, true means": {"oracle": key("oracle", ".3g"), "bound": key("bound", ".3g")},
            "infinite": mean(infinite_share, ".1%"),
            "spend / b": mean("spend", ".3f"),
        },
        "λ in rewards per b USD over the queries where it is finite: medians over the seeds of "
        "its quantiles, and the largest of all. Oracle: the largest over the stages for the true "
        "means; bound: what it can be at most there, (V(∞) - V(cheapest)) b / (b - cheapest). "
        "Infinite: no mixture met the budget of the moment.",
    )  # fmt: skip
    over_budget = LinesOf(
        "λ against the budget: {workload}", "b / cheapest mixture - 1", "λ b, reward",
        (
            _curves("median", _middle("median"), {"pacing": PACED}),
            _curves("p99", _middle("p99"), {"pacing": PACED}),
            _curves("largest", _largest),
            Curves(lambda runs: runs[0]["bound"], label="bound, true means", is_reference=True),
        ),
        over=_above_cheapest, log_x=True, log_y=True,
    )  # fmt: skip
    over_stages = LinesOf(
        "λ over the stages: {workload}", "stage", "λ b, reward",
        (Curves(band(_by_stage), "ratio", "b = {:g} times cheapest"),),
        x=stages,
        where=lambda run: run["pacing"] == PACED and run["ratio"] in SHOWN_OVER_STAGES,
        log_y=True, note="Mean of each stage where finite; gaps: nowhere.",
    )  # fmt: skip
    parts = (
        Part("All workloads", (overall, growth)),
        Part(
            "{workload}", (Part("", (by_ratio,), by=("pacing",)), over_budget, over_stages),
            by=("workload",),
        ),
    )  # fmt: skip

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
    return episode(
        settings, "stageroute", limits, seed,
        (("ratio", ratio), ("pacing", pacing), *known),
        workload=workload,
    )  # fmt: skip


@lru_cache(maxsize=64)
def _cheapest_at_start(workload: Workload, num_queries: int, limits: Limits) -> float:
    """Return what the cheapest mixture of the models at the start costs, USD per query."""
    stream = workload.stream(num_queries, 0)
    present, means = stream.candidates(0), stream.regimes[0]
    caps = limits.caps(stream.table.num_models)[present]
    return solve_routing_lp(means.reward[present], means.cost[present], caps, 0.0).spend


@lru_cache(maxsize=256)
def _yardsticks(workload: Workload, num_queries: int, num_stages: int, limits: Limits) -> Cell:
    """Return what is known of a workload without running a policy, in reward per b USD.

    That is the largest price of the stage oracle, and the largest `price_bound`, over the stages
    where the budget can be met.
    """
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
    bound = max((bound for bound in bounds if np.isfinite(bound)), default=np.inf)
    budget = limits.budget
    return ("oracle", budget * float(prices.max(initial=0.0))), ("bound", budget * bound)
