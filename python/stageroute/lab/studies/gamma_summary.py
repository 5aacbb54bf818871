"""What the study of γ says: the best γ by budget, a law for it, and what rules gain elsewhere.

**A rule from first principles.** Let a visit to model m cost c_m and money have the price λ. A
model whose reduced value is Δ_m short of the mixture's is visited until its radius 2 sqrt(γ v / n)
falls below Δ_m: n = 4 γ v / Δ_m² times, which costs n Δ_m = 4 γ v / Δ_m. So exploring costs A γ in
all, with A = Σ_m 4 v / Δ_m. Where money is short λ b keeps its size and Δ_m ≈ λ c_m ~ c_m / b: A ~
Σ_m b / c_m, about N b / c̄. Exploring less risks to lose a good model for good, which costs g T and
has the probability e^(-k γ), the deviation that a radius of that γ does not cover. A γ + g T e^(-k
γ) is least at

    γ* = (1 / k) log(k g T / A)  ~  log(T c̄ / (N b)):

the logarithm of how many queries' money there is for each exploratory visit. γ should so rise as b
falls, but by its logarithm only: the price of money, which rises as 1 / b, has already made
exploring dear models rarer. The rule here, with a level γ0 that holds at b = c̄:

    γ(b) = γ0 log(1 + T c̄ / (N b)) / log(1 + T / N)

Its level is set where it is fitted, so that the rule and the best fixed γ differ in the scaling
alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from stageroute.config.confidence import Confidence
from stageroute.lab.columns import priced_regret
from stageroute.lab.episodes import Record
from stageroute.lab.intervals import Floats, Interval, bands, ends, mean_interval, resampled
from stageroute.lab.results import StudyResults
from stageroute.lab.summary import Curve, LineFigure, Summary, Table

__all__ = ["FIT", "derived_gamma", "summarise"]

FIT: Final = "fitted to"
"""The part that laws are fitted to; rules are tested on the others."""

NOISE: Final = 1e-6
"""Differences and slopes that are rounding."""

NEAR: Final = 0.1
"""A γ is near the best where its mean regret is higher by no more than this part of the least's
size. (Savings carried over the stages can make it negative.)"""


@dataclass(frozen=True, eq=False, slots=True)
class Grid:
    """Regret over γ and b at one place.

    Attributes
    ----------
    gammas, budgets, nominal : ndarray, shapes (G,), (B,), (B,)
        `nominal`: the budgets where rules are fitted that these stand for.
    regret : ndarray, shape (seeds, B, G)
        As a share of the oracle's reward, overspending charged.
    mean_cost : float
        Over the models, USD per query.
    candidates : float
        N.
    num_queries : int
        T.
    """

    gammas: Floats
    budgets: Floats
    nominal: Floats
    regret: Floats
    mean_cost: float
    candidates: float
    num_queries: int


Rule = Callable[[Grid], Floats]
"""γ for each budget of a grid."""


def summarise(results: StudyResults, question: str) -> Summary:
    """Fit on one part, test on the others, for each family of bounds."""
    findings: list[str] = []
    tables: list[Table] = []
    figures: list[LineFigure] = []
    for bounds in results.distinct("bounds"):
        grids = {
            where: _grid(results.of(where=where, bounds=bounds))
            for where in results.distinct("where")
        }
        rules = _rules(grids[FIT], bounds)
        findings += [_best_finding(grids[FIT], bounds), *_test_findings(grids, rules, bounds)]
        tables += [_best_table(grids[FIT], rules, bounds), _test_table(grids, rules, bounds)]
        figures += _figures(grids[FIT], rules, bounds)
    return Summary("γ and the budget", question, tuple(findings), tuple(tables), tuple(figures))


def derived_gamma(
    level: float, budgets: Floats, mean_cost: float, candidates: float, num_queries: int
) -> Floats:
    """Return the rule from first principles at each budget, `level` at b = c̄; see the module."""
    visits = num_queries * mean_cost / (candidates * budgets)
    return np.asarray(level * np.log1p(visits) / math.log1p(num_queries / candidates))


def _grid(records: Sequence[Record]) -> Grid:
    cells = [record.cell_values for record in records]
    gammas = sorted({cell["gamma"] for cell in cells})
    nominal = sorted({cell["nominal"] for cell in cells})
    seeds = sorted({record.seed for record in records})
    regret = np.empty((len(seeds), len(nominal), len(gammas)))
    budgets = np.empty(len(nominal))
    for record, cell, value in zip(records, cells, priced_regret(records), strict=True):
        b = nominal.index(cell["nominal"])
        regret[seeds.index(record.seed), b, gammas.index(cell["gamma"])] = value
        budgets[b] = record.budget
    first = cells[0]
    return Grid(
        np.array(gammas), budgets, np.array(nominal), regret,
        first["mean_cost"], first["candidates"], records[0].num_queries,
    )  # fmt: skip


def _best(grid: Grid) -> Floats:
    """Return the γ of least mean regret at each budget."""
    best: Floats = grid.gammas[grid.regret.mean(axis=0).argmin(axis=1)]
    return best


def _law(grid: Grid) -> tuple[Interval, float]:
    """Fit ln γ* = intercept + slope · ln(b / c̄); the slope's interval is over resampled seeds."""
    x = np.log(grid.budgets / grid.mean_cost)
    best = grid.gammas[resampled(grid.regret).mean(axis=1).argmin(axis=2)]
    centred = x - x.mean()
    slopes = np.log(best) @ centred / (centred @ centred)
    y = np.log(_best(grid))
    slope = float(y @ centred / (centred @ centred))
    low, high = np.quantile(slopes, ends())
    return Interval(slope, float(low), float(high)), float(y.mean() - slope * x.mean())


def _rules(grid: Grid, bounds: str) -> dict[str, Rule]:
    """Return what is tested: fixed γ, and rules for it. The first is the yardstick."""
    default = Confidence(bounds).gamma
    best = float(grid.gammas[grid.regret.mean(axis=(0, 1)).argmin()])
    slope, intercept = _law(grid)
    level = best / float(np.exp(np.log(_derived(1.0, grid)).mean()))
    return {
        f"best fixed γ = {best:g}": lambda g: np.full(g.budgets.size, best),
        f"default γ = {default:g}": lambda g: np.full(g.budgets.size, default),
        "γ ~ log(T c / (N b))": lambda g: _derived(level, g),
        f"fitted γ ~ b^{slope.value:.2f}": lambda g: np.exp(
            intercept + slope.value * np.log(g.budgets / g.mean_cost)
        ),
    }


def _derived(level: float, grid: Grid) -> Floats:
    return derived_gamma(level, grid.budgets, grid.mean_cost, grid.candidates, grid.num_queries)


def _regret_at(grid: Grid, gammas: Floats) -> Floats:
    """Return the mean regret over the budgets at a γ for each, by seed.

    Between values of the grid it is linear in ln γ, beyond them as at the end.
    """
    x = np.log(grid.gammas)
    values = [
        [np.interp(math.log(gamma), x, seed[b]) for b, gamma in enumerate(gammas.tolist())]
        for seed in grid.regret
    ]
    return np.asarray(np.mean(values, axis=1))


def _best_finding(grid: Grid, bounds: str) -> str:
    slope, _ = _law(grid)
    mean = grid.regret.mean(axis=0)
    fixed = mean[:, mean.mean(axis=0).argmin()]
    extra = float((fixed - mean.min(axis=1)).max())
    best = ", ".join(
        f"{gamma:g} at b = {b:g}" for gamma, b in zip(_best(grid), grid.budgets, strict=True)
    )
    clear = (
        "does not differ from 0"
        if slope.low <= NOISE and slope.high >= -NOISE
        else "differs from 0"
    )
    return (
        f"{bounds}: the best γ is {best}; fitted, γ* ~ b^{slope.value:.2f} "
        f"({slope.low:.2f} to {slope.high:.2f}), which {clear}. The best single γ for all budgets "
        f"loses at most {extra:.2%} of the oracle's reward more than the best γ of each budget."
    )


def _test_findings(grids: dict[str, Grid], rules: dict[str, Rule], bounds: str) -> list[str]:
    """Say for each rule where it beats, and where it loses to, the best fixed γ."""
    yardstick, *others = rules
    places = [where for where in grids if where != FIT]
    findings = []
    for rule in others:
        gains = {
            where: _difference(grids[where], rules[rule], rules[yardstick]) for where in places
        }
        wins = [where for where, gain in gains.items() if gain.high < -NOISE]
        losses = [where for where, gain in gains.items() if gain.low > NOISE]
        texts = "; ".join(
            f"{where} {100 * gain.value:+.3f} ({100 * gain.low:+.3f} to {100 * gain.high:+.3f})"
            for where, gain in gains.items()
        )
        findings.append(
            f"{bounds}, {rule} against the {yardstick}: better in {len(wins)} and worse in "
            f"{len(losses)} of {len(places)} held-out places beyond noise; regret in points of the "
            f"oracle's reward (%): {texts}."
        )
    return findings


def _difference(grid: Grid, rule: Rule, yardstick: Rule) -> Interval:
    """Return by how much a rule's regret exceeds another's, paired by seed."""
    return mean_interval(_regret_at(grid, rule(grid)) - _regret_at(grid, yardstick(grid)))


def _best_table(grid: Grid, rules: dict[str, Rule], bounds: str) -> Table:
    mean = grid.regret.mean(axis=0)
    rule = list(rules)[2]
    rows = []
    for b, budget in enumerate(grid.budgets.tolist()):
        near = grid.gammas[mean[b] <= mean[b].min() + NEAR * abs(mean[b].min())]
        rows.append(
            (
                f"{budget:.4g}",
                *(f"{100 * value:.2f}" for value in mean[b]),
                f"{near.min():g} to {near.max():g}",
                f"{rules[rule](grid)[b]:.3g}",
            )
        )
    best = frozenset((b, 1 + int(mean[b].argmin())) for b in range(len(rows)))
    columns = ("b, USD", *(f"{gamma:g}" for gamma in grid.gammas), "within 10 %", "rule")
    note = f"Rule: {rule}. Regret over {len(grid.regret)} seeds, overspending charged."
    heads = (("", 1), ("mean regret, %, at γ", grid.gammas.size), ("γ", 2))
    title = f"{bounds}: regret by γ and b"
    return Table(title, columns, tuple(rows), note, heads, best, part=bounds)


def _test_table(grids: dict[str, Grid], rules: dict[str, Rule], bounds: str) -> Table:
    yardstick, *others = rules
    rows = []
    for where, grid in grids.items():
        of_yardstick = 100 * _regret_at(grid, rules[yardstick](grid))
        least = 100 * float(grid.regret.mean(axis=0).min(axis=1).mean())
        differences = [_difference(grid, rules[rule], rules[yardstick]) for rule in others]
        rows.append(
            (
                where,
                f"{least:.3f}",
                mean_interval(of_yardstick).text(3),
                *(difference.text(3, 100) for difference in differences),
            )
        )
    note = (
        "Mean regret in % over the budgets; differences to the best fixed γ, paired by seed "
        "(negative: better). Least: the best γ of each budget and place, known afterwards."
    )
    heads = (("", 1), ("regret", 2), ("more than that", len(others)))
    columns = ("where", "least", *rules)
    title = f"{bounds}: rules where they were not fitted"
    return Table(title, columns, tuple(rows), note, heads, part=bounds)


def _figures(grid: Grid, rules: dict[str, Rule], bounds: str) -> list[LineFigure]:
    curves = [
        Curve(f"b = {budget:g}", grid.gammas, *bands(100 * grid.regret[:, b]))
        for b, budget in enumerate(grid.budgets.tolist())
    ]
    best = grid.gammas[resampled(grid.regret).mean(axis=1).argmin(axis=2)]
    low, high = np.quantile(best, ends(), axis=0)
    laws = [Curve(rule, grid.budgets, law(grid), is_reference=True) for rule, law in rules.items()]
    return [
        LineFigure(
            f"{bounds}: regret over γ", "γ", "regret, %", tuple(curves), log_x=True, log_y=True,
            part=bounds,
        ),
        LineFigure(
            f"{bounds}: the best γ", "b, USD per query", "γ",
            (Curve("best of the grid", grid.budgets, _best(grid), low, high), *laws),
            log_x=True, log_y=True, part=bounds,
        ),
    ]  # fmt: skip
