"""How γ, the width of the confidence intervals, should scale with the budget b.

A grid of γ and b on one workload, and the same grid on others to test the rules that follow: a
fitted law, and one from first principles (derived in docs/results/open-questions.md). Exploring
costs A γ with A about N b / c̄, too little of it loses a good model with a probability of e^(-k γ),
at a cost of g T. The sum is least at γ* ~ log(T c̄ / (N b)): the logarithm of how many queries'
money there is for each exploratory visit. With a level γ0 that holds at b = c̄,

    γ(b) = γ0 log(1 + T c̄ / (N b)) / log(1 + T / N)

Its level is set where it is fitted, so that the rule and the best fixed γ differ in the scaling
alone.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from stageroute.config.confidence import Confidence
from stageroute.lab.columns import band, column, regret
from stageroute.lab.declared import Curves, LinesOf, Part, Scope
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Runs, by, group, select, values
from stageroute.lab.statistics import Floats, Interval, covering, interval_of, slope_weights
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Curve, LineFigure, Table
from stageroute.workloads import BuiltIn, StateOfTheArt, Workload

FIT: Final = "fitted to"
"""The part that laws are fitted to; rules are tested on the others."""

NEAR: Final = 0.1
"""A γ is near the best where its mean regret is higher by no more than this part of the least's
size. (Savings carried over the stages can make it negative.)"""

DERIVED: Final = "γ ~ log(T c / (N b))"

GAMMAS: Final = (0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 3.0)
SMALL_GAMMAS: Final = (0.01, 0.1, 1.0)

FAMILIES: Final = ("paper", "bernstein")
"""The paper's question is about its own bounds; ours are the other ones."""

LENGTHS: Final = (0.25, 2.0)
"""Horizons to test on, in multiples of T."""

ELSEWHERE: Final[tuple[Workload, ...]] = (BuiltIn(), StateOfTheArt())
"""Workloads to test on."""

HELD_OUT_SEEDS: Final = 10


@dataclass(frozen=True, eq=False, slots=True)
class Grid:
    """Regret over γ and b at one place."""

    gammas: Floats  # shape (G,)
    budgets: Floats  # shape (B,)
    regret: Floats  # % of the oracle's reward, overspending charged, shape (seeds, B, G)
    mean_cost: float  # over the models, USD per query
    candidates: float
    num_queries: int

    @classmethod
    def of(cls, runs: Runs) -> "Grid":
        """Arrange runs by seed, budget and γ."""
        members = group(runs, "seed", "budget", "gamma").values()
        gammas, budgets, seeds = (values(runs, name) for name in ("gamma", "budget", "seed"))
        found = column([run for of_cell in members for run in of_cell], regret)
        shape = len(seeds), len(budgets), len(gammas)
        same = (runs[0][name] for name in ("mean_cost", "candidates", "num_queries"))
        return cls(np.array(gammas), np.array(budgets), found.reshape(shape), *same)

    def best(self, samples: Floats, axis: int = 0) -> Floats:
        """Return the γ of least mean regret at each budget, from samples over seeds (`axis`)."""
        # Without the seeds, γ is the second axis; resamples come after it.
        return np.asarray(self.gammas[samples.mean(axis=axis).argmin(axis=1)])


Rule = Callable[[Grid], Floats]
"""γ for each budget of a grid."""


def derived_gamma(level: float, grid: Grid) -> Floats:
    """Return the rule from first principles at each budget, `level` at b = c̄; see the module."""
    visits = grid.num_queries * grid.mean_cost / (grid.candidates * grid.budgets)
    scale = math.log1p(grid.num_queries / grid.candidates)
    return np.asarray(level * np.log1p(visits) / scale)


def law(grid: Grid) -> tuple[Interval, float]:
    """Fit ln γ* = intercept + slope · ln(b / c̄); the slope's interval is over resampled seeds."""
    x = np.log(grid.budgets / grid.mean_cost)
    weights = slope_weights(x)
    slope = interval_of(
        lambda samples, axis: weights @ np.log(grid.best(samples, axis)), grid.regret
    )
    return slope, float(np.log(grid.best(grid.regret)).mean() - slope.value * x.mean())


def _rules(grid: Grid, bounds: str) -> dict[str, Rule]:
    """Return what is tested: fixed γ, and rules for it. The first is the yardstick."""
    default = Confidence(bounds).gamma
    best = float(grid.gammas[grid.regret.mean(axis=(0, 1)).argmin()])
    slope, intercept = law(grid)
    level = best / float(np.exp(np.log(derived_gamma(1.0, grid)).mean()))
    return {
        f"best fixed γ = {best:g}": lambda g: np.full(g.budgets.size, best),
        f"default γ = {default:g}": lambda g: np.full(g.budgets.size, default),
        DERIVED: lambda g: derived_gamma(level, g),
        f"fitted γ ~ b^{slope.value:z.2f}": lambda g: np.exp(
            intercept + slope.value * np.log(g.budgets / g.mean_cost)
        ),
    }


def _regret_at(grid: Grid, gammas: Floats) -> Floats:
    """Return the mean regret over the budgets at a γ for each, by seed.

    Between values of the grid it is linear in ln γ, beyond them as at the end.
    """
    x = np.log(grid.gammas)
    found = [
        [np.interp(math.log(gamma), x, seed[b]) for b, gamma in enumerate(gammas.tolist())]
        for seed in grid.regret
    ]
    return np.asarray(np.mean(found, axis=1))


def _fitted(scope: Scope) -> tuple[Grid, dict[str, Rule]]:
    grid = Grid.of(select(scope.runs, {"where": FIT}))
    return grid, _rules(grid, scope.names["bounds"])


def _regret_by_gamma(scope: Scope) -> list[Table]:
    """Return the mean regret over the grid, with the best γ of each budget marked."""
    grid, rules = _fitted(scope)
    mean, derived = grid.regret.mean(axis=0), rules[DERIVED](grid)
    rows = []
    for b, budget in enumerate(grid.budgets.tolist()):
        near = grid.gammas[mean[b] <= mean[b].min() + NEAR * abs(mean[b].min())]
        shown = [f"{value:.2f}" for value in mean[b]]
        ends = f"{near.min():g} to {near.max():g}"
        rows.append((f"{budget:.4g}", *shown, ends, f"{derived[b]:.3g}"))
    slope, _ = law(grid)
    return [
        Table(
            scope.text("{bounds}: regret by γ and b"),
            ("b, USD", *(f"{gamma:g}" for gamma in grid.gammas), "within 10 %", "rule"),
            tuple(rows),
            f"Rule: {DERIVED}. The best γ of each budget is fitted by b^{slope.text()}. Regret "
            f"over {len(grid.regret)} seeds, overspending charged.",
            (("", 1), ("mean regret, %, at γ", grid.gammas.size), ("γ", 2)),
            frozenset((b, 1 + int(mean[b].argmin())) for b in range(len(rows))),
            scope.part,
        )
    ]


def _rules_elsewhere(scope: Scope) -> list[Table]:
    """Return what rules lose where they were fitted and elsewhere, against the best fixed γ."""
    _, rules = _fitted(scope)
    rows = []
    for where, runs in by(scope.runs, "where").items():
        grid = Grid.of(runs)
        yardstick, *others = (_regret_at(grid, rule(grid)) for rule in rules.values())
        least = float(grid.regret.mean(axis=0).min(axis=1).mean())
        lost = (yardstick, *(other - yardstick for other in others))
        rows.append(
            (where, f"{least:.3f}", *(interval_of(np.mean, found).text(3) for found in lost))
        )
    return [
        Table(
            scope.text("{bounds}: rules where they were not fitted"),
            ("where", "least", *rules),
            tuple(rows),
            "Mean regret in % over the budgets; differences to the best fixed γ, paired by seed "
            "(negative: better). Least: the best γ of each budget and place, known afterwards.",
            (("", 1), ("regret", 2), ("more than that", len(rules) - 1)),
            part=scope.part,
        )
    ]


def _best_gammas(scope: Scope) -> list[LineFigure]:
    """Return the best γ of each budget, and what the rules say."""
    grid, rules = _fitted(scope)
    low, high = covering(grid.best, grid.regret)
    laws = [Curve(rule, grid.budgets, of(grid), is_reference=True) for rule, of in rules.items()]
    return [
        LineFigure(
            scope.text("{bounds}: the best γ"), "b, USD per query", "γ",
            (Curve("best of the grid", grid.budgets, grid.best(grid.regret), low, high), *laws),
            log_x=True, log_y=True, part=scope.part,
        )
    ]  # fmt: skip


OVER_GAMMA: Final = LinesOf(
    "{bounds}: regret over γ", "γ", "regret, %", (Curves(band(regret), "budget", "b = {:g}"),),
    over="gamma", where={"where": FIT}, log_x=True, log_y=True,
)  # fmt: skip


def _every_gamma(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield the grid of γ and bounds where laws are fitted, and where they are tested."""
    for where, place in _places(base, settings):
        workload = place.workload
        cell = {
            "nominal": base.limits.budget,
            "mean_cost": _mean_cost(workload),
            "candidates": float(workload.table().num_models),
        }
        for family in FAMILIES:
            for gamma in SMALL_GAMMAS if settings.is_small else GAMMAS:
                yield place.but(
                    {"where": where, "bounds": family, "gamma": gamma, **cell},
                    confidence=Confidence(family, gamma=gamma),
                )


def _places(base: Episode, settings: StudySettings) -> Iterator[tuple[str, Episode]]:
    """Yield what is fitted to, and what rules are tested on: with fewer seeds."""
    yield FIT, base
    if base.seed not in settings.seeds[:HELD_OUT_SEEDS]:
        return
    for length in LENGTHS[:1] if settings.is_small else LENGTHS:
        horizon = round(base.num_queries * length)
        yield f"T = {horizon:,}", base.but(num_queries=horizon)
    for workload in () if settings.is_small else ELSEWHERE:
        if workload != base.workload:
            # Budgets in the same relation to the costs.
            budget = base.limits.budget * (_mean_cost(workload) / _mean_cost(base.workload))
            yield workload.label, base.but(workload=workload, budget=budget)


@lru_cache(maxsize=8)
def _mean_cost(workload: Workload) -> float:
    """Return the mean cost over the models, USD per query."""
    return float(np.mean(workload.table().mean_cost()))


SHOWS: Final = _regret_by_gamma, _rules_elsewhere, OVER_GAMMA, _best_gammas

STUDY: Final = Study(
    "gamma", "γ and the budget",
    "How should γ scale with the budget, and what does a rule for it gain?",
    (Part("{bounds}", SHOWS, by=("bounds",)),),
    StudySettings(budgets=(0.0002, 0.0003, 0.0006, 0.001, 0.002)), _every_gamma,
    if_small={"budgets": (0.0003, 0.001)},  # a law needs two
)  # fmt: skip
