"""Whether the dual price of the budget stays bounded by some Λ in practice.

Budgets go down to that of the cheapest mixture, so they follow from each workload's costs.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import numpy as np

from stageroute._core import solve_routing_lp
from stageroute.lab.columns import band, cell, column, exponent, key, mean
from stageroute.lab.declared import Curves, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Run, Runs, Where
from stageroute.lab.statistics import Floats
from stageroute.lab.study import Study, StudySettings, nothing
from stageroute.policies import Limits
from stageroute.replay.metrics import oracle_parts
from stageroute.workloads import Adversarial, Changing, LargePool, PriceCut, StateOfTheArt, Workload

PACED, FREE = "paced", "not paced"

QUANTILES: Final = ("median", "p90", "p99", "largest")
"""As in `Record.budget_price`."""

RATIOS: Final = (1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0, 10.0)
"""Budgets, in units of what the cheapest mixture of the models at the start costs."""

SMALL_RATIOS: Final = (1.05, 2.0)
SHOWN_OVER_STAGES: Final = (1.02, 1.05, 1.1, 1.5, 5.0)


def infinite_share(run: Run) -> float:
    """Return the share of the queries at which no mixture met the budget of the moment."""
    counts = run.record.lp_status_counts
    short = counts.get("throttled", 0) + counts.get("budget_infeasible", 0)
    return float(short / run.record.num_queries)


def price(quantile: str) -> Callable[[Run], float]:
    """Return what gives a quantile of the finite prices, in rewards per b USD; NaN without any."""
    place = QUANTILES.index(quantile)

    def of(run: Run) -> float:
        found = run.record.budget_price
        return found[place] * run.record.budget if found else float("nan")

    return of


def _over_runs(quantile: str, share: float = 0.5) -> Callable[[Runs], float]:
    """Return what gives a quantile over the runs of a quantile; NaN where no price is finite."""

    def found(runs: Runs) -> float:
        prices = column(runs, price(quantile))
        return float(np.nanquantile(prices, share)) if np.isfinite(prices).any() else float("nan")

    return found


LARGEST: Final = _over_runs("largest", 1.0)
USUAL: Final = _over_runs("p99", 0.95)
"""What 95 % of the streams do not exceed."""


def _by_stage(run: Run) -> Floats:
    return run.record.budget * np.array(run.record.stage_budget_price)


def _keeps_to_bound(runs: Runs) -> float:
    """Return the share of the runs whose prices keep to the bound that holds for true means."""
    bounded = [run for run in runs if run["bound"] < np.inf]
    prices, bounds = column(bounded, price("largest")), column(bounded, "bound")
    return float(np.mean(~(prices > bounds * (1 + 1e-9))))  # without a price it does too


def _above_cheapest(run: Run) -> float:
    return float(run["ratio"]) - 1.0


def _curves(name: str, of: Callable[[Runs], float], where: Where = MappingProxyType({})) -> Curves:
    """Return curves by pacing for a logarithmic axis: without points where the figure is 0."""
    return Curves(lambda runs: of(runs) or float("nan"), "pacing", f"{name}, {{}}", where)


OVERALL: Final = TableOf(
    "Over all workloads", ("pacing",),
    {
        "pacing": key("pacing"),
        "largest λ b": cell(LARGEST, ".3g"),
        "p99, 95 % of the streams": cell(USUAL, ".3g"),
        "keep to the bound": cell(_keeps_to_bound, ".0%"),
        "infinite": mean(infinite_share, ".1%"),
    },
    "Largest finite λ, in rewards per b USD; the 99th percentile of a stream that 95 % of the "
    "streams do not exceed; the share of the streams that keep to the bound; the share of the "
    "queries without a finite price.",
)  # fmt: skip

GROWTH: Final = TableOf(
    "How the 99th percentile grows as the budget approaches that of the cheapest mixture",
    ("workload",),
    {
        "workload": key("workload"),
        "(b / cheapest - 1)^": exponent(_above_cheapest, price("p99")),
    },
    where={"pacing": PACED},
)  # fmt: skip

BY_RATIO: Final = TableOf(
    "{workload}, {pacing}", ("ratio",),
    {
        "b / cheapest": key("ratio", "g"),
        "b, USD": key("budget", ".3g"),
        "λ b of StageRoute": {
            **{name: cell(_over_runs(name), ".3g") for name in QUANTILES[:-1]},
            "largest": cell(LARGEST, ".3g"),
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

OVER_BUDGET: Final = LinesOf(
    "λ against the budget: {workload}", "b / cheapest mixture - 1", "λ b, reward",
    (
        _curves("median", _over_runs("median"), {"pacing": PACED}),
        _curves("p99", _over_runs("p99"), {"pacing": PACED}),
        _curves("largest", LARGEST),
        Curves(lambda runs: runs[0]["bound"], label="bound, true means", is_reference=True),
    ),
    over=_above_cheapest, log_x=True, log_y=True,
)  # fmt: skip

OVER_STAGES: Final = LinesOf(
    "λ over the stages: {workload}", "stage", "λ b, reward",
    (Curves(band(_by_stage), "ratio", "b = {:g} times cheapest"),),
    where=lambda run: run["pacing"] == PACED and run["ratio"] in SHOWN_OVER_STAGES,
    log_y=True, note="Mean of each stage where finite; gaps: nowhere.",
)  # fmt: skip


def _every_ratio(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield StageRoute with and without pacing, for every workload and ratio."""
    usual, few = base.workload, settings.is_small
    workloads: list[Workload] = [
        usual, Changing(usual, PriceCut()), Adversarial(usual, "dear_first"),
    ]  # fmt: skip
    if not few:
        workloads += [Adversarial(usual, "bad_luck_first"), StateOfTheArt(), LargePool(200)]
    for workload in workloads:
        cheapest = _cheapest_at_start(workload, base.num_queries, base.limits)
        for ratio in SMALL_RATIOS if few else RATIOS:
            paced = base.but({"ratio": ratio}, workload=workload, budget=ratio * cheapest)
            for pacing, changes in ((PACED, {}), (FREE, {"pacing_horizon": None})):
                episode = paced.but({"pacing": pacing}, **changes)
                oracle, bound = _yardsticks(
                    workload, episode.num_queries, episode.num_stages, episode.limits
                )
                yield episode.but({"oracle": oracle, "bound": bound})


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
) -> tuple[float, float]:
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
    return limits.budget * float(prices.max(initial=0.0)), limits.budget * bound


STUDY: Final = Study(
    "budget-price", "The budget's price",
    "Does the dual price of the budget stay bounded by some Λ in practice?",
    (
        Part("All workloads", (OVERALL, GROWTH)),
        Part(
            "{workload}",
            (Part("", (BY_RATIO,), by=("pacing",)), OVER_BUDGET, OVER_STAGES), by=("workload",),
        ),
    ),
    StudySettings(seeds=tuple(range(10))), at_each_budget=nothing, once=_every_ratio,
)  # fmt: skip
