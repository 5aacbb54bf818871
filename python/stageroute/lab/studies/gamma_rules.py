"""Rules for γ: a fitted law, one from first principles, and what they gain where they were not set.

**The rule from first principles** (derived in docs/results/open-questions.md). Exploring costs A γ
with A about N b / c̄, too little of it loses a good model with a probability of e^(-k γ), at a cost
of g T. The sum is least at γ* ~ log(T c̄ / (N b)): the logarithm of how many queries' money there is
for each exploratory visit. With a level γ0 that holds at b = c̄,

    γ(b) = γ0 log(1 + T c̄ / (N b)) / log(1 + T / N)

Its level is set where it is fitted, so that the rule and the best fixed γ differ in the scaling
alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from stageroute.config.confidence import Confidence
from stageroute.lab.columns import column, regret
from stageroute.lab.declared import Scope
from stageroute.lab.intervals import Floats, Interval, covering, mean_interval
from stageroute.lab.runs import Runs, group, select, values
from stageroute.lab.summary import Curve, LineFigure, Table

__all__ = ["FIT", "best_gammas", "derived_gamma", "regret_by_gamma", "rules_elsewhere"]

FIT: Final = "fitted to"
"""The part that laws are fitted to; rules are tested on the others."""

NEAR: Final = 0.1
"""A γ is near the best where its mean regret is higher by no more than this part of the least's
size. (Savings carried over the stages can make it negative.)"""

DERIVED: Final = "γ ~ log(T c / (N b))"


@dataclass(frozen=True, eq=False, slots=True)
class Grid:
    """Regret over γ and b at one place.

    `gammas` and `budgets` have shapes (G,) and (B,); `regret`, in % of the oracle's reward with
    overspending charged, (seeds, B, G). `mean_cost` is over the models, USD per query.
    """

    gammas: Floats
    budgets: Floats
    regret: Floats
    mean_cost: float
    candidates: float
    num_queries: int

    @classmethod
    def of(cls, runs: Runs) -> "Grid":
        """Arrange runs by seed, budget and γ."""
        members = group(runs, "seed", "budget", "gamma").values()
        gammas, budgets, seeds = (values(runs, name) for name in ("gamma", "budget", "seed"))
        found = column([run for of_cell in members for run in of_cell], regret)
        first = runs[0]
        return cls(
            np.array(gammas), np.array(budgets),
            found.reshape(len(seeds), len(budgets), len(gammas)),
            first["mean_cost"], first["candidates"], first["num_queries"],
        )  # fmt: skip


Rule = Callable[[Grid], Floats]
"""γ for each budget of a grid."""


def derived_gamma(level: float, grid: Grid) -> Floats:
    """Return the rule from first principles at each budget, `level` at b = c̄; see the module."""
    visits = grid.num_queries * grid.mean_cost / (grid.candidates * grid.budgets)
    scale = math.log1p(grid.num_queries / grid.candidates)
    return np.asarray(level * np.log1p(visits) / scale)


def _best(grid: Grid) -> Floats:
    """Return the γ of least mean regret at each budget."""
    return _of_least(grid.gammas)(grid.regret, axis=0)


def _of_least(gammas: Floats) -> Callable[..., Floats]:
    """Return what finds the γ of least mean regret, from samples over seeds (`axis`)."""

    def best(samples: Floats, axis: int) -> Floats:
        # Without the seeds, γ is the second axis; resamples come after it.
        found: Floats = gammas[samples.mean(axis=axis).argmin(axis=1)]
        return found

    return best


def law(grid: Grid) -> tuple[Interval, float]:
    """Fit ln γ* = intercept + slope · ln(b / c̄); the slope's interval is over resampled seeds."""
    x = np.log(grid.budgets / grid.mean_cost)
    weights = (x - x.mean()) / np.sum((x - x.mean()) ** 2)

    def slope(samples: Floats, axis: int) -> Floats:
        return np.asarray(weights @ np.log(_of_least(grid.gammas)(samples, axis)))

    fitted = float(slope(grid.regret, 0))
    low, high = covering(slope, grid.regret)
    return Interval(fitted, float(low), float(high)), float(
        np.log(_best(grid)).mean() - fitted * x.mean()
    )


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


def regret_by_gamma(scope: Scope) -> list[Table]:
    """Return the mean regret over the grid, with the best γ of each budget marked."""
    grid, rules = _fitted(scope)
    mean, derived = grid.regret.mean(axis=0), rules[DERIVED](grid)
    rows = []
    for b, budget in enumerate(grid.budgets.tolist()):
        near = grid.gammas[mean[b] <= mean[b].min() + NEAR * abs(mean[b].min())]
        rows.append(
            (
                f"{budget:.4g}",
                *(f"{value:.2f}" for value in mean[b]),
                f"{near.min():g} to {near.max():g}",
                f"{derived[b]:.3g}",
            )
        )
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


def rules_elsewhere(scope: Scope) -> list[Table]:
    """Return what rules lose where they were fitted and elsewhere, against the best fixed γ."""
    _, rules = _fitted(scope)
    yardstick, *others = rules
    rows = []
    for (where,), runs in group(scope.runs, "where").items():
        grid = Grid.of(runs)
        lost = {rule: _regret_at(grid, rules[rule](grid)) for rule in rules}
        rows.append(
            (
                where,
                f"{float(grid.regret.mean(axis=0).min(axis=1).mean()):.3f}",
                mean_interval(lost[yardstick]).text(3),
                *(mean_interval(lost[rule] - lost[yardstick]).text(3) for rule in others),
            )
        )
    return [
        Table(
            scope.text("{bounds}: rules where they were not fitted"),
            ("where", "least", *rules),
            tuple(rows),
            "Mean regret in % over the budgets; differences to the best fixed γ, paired by seed "
            "(negative: better). Least: the best γ of each budget and place, known afterwards.",
            (("", 1), ("regret", 2), ("more than that", len(others))),
            part=scope.part,
        )
    ]


def best_gammas(scope: Scope) -> list[LineFigure]:
    """Return the best γ of each budget, and what the rules say."""
    grid, rules = _fitted(scope)
    low, high = covering(_of_least(grid.gammas), grid.regret)
    laws = [Curve(rule, grid.budgets, of(grid), is_reference=True) for rule, of in rules.items()]
    return [
        LineFigure(
            scope.text("{bounds}: the best γ"), "b, USD per query", "γ",
            (Curve("best of the grid", grid.budgets, _best(grid), low, high), *laws),
            log_x=True, log_y=True, part=scope.part,
        )
    ]  # fmt: skip
