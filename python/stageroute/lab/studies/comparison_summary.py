"""What the comparison says: who loses least within budget and caps, curves, who serves."""

from typing import Final

import numpy as np

from stageroute.lab.columns import column
from stageroute.lab.episodes import Record
from stageroute.lab.intervals import bands, mean_interval, median_interval
from stageroute.lab.results import StudyResults
from stageroute.lab.shares import agreement, mean_shares, share_over_caps
from stageroute.lab.summary import (
    Curve,
    Figure,
    HeatMap,
    LineFigure,
    Point,
    PointFigure,
    Summary,
    Table,
)
from stageroute.policies import CONTEXTUAL

__all__ = ["summarise"]

WITHIN_BUDGET: Final = 1.01
"""A policy keeps to the budget if its mean spend / b over the seeds is no more."""

WITHIN_CAPS: Final = 0.05
"""A policy keeps to the caps if no more of the queries are served beyond them, stage by stage.
Drawing from a mixture that respects them ends at 1 or 2 %, by chance."""

OURS: Final = "stageroute"

KNOWING: Final = ("oracle", "static", "clairvoyant")
"""Policies that are told what others must learn."""

TOLD_TASKS: Final = frozenset(
    {"linucb-task", "paretobandit-tasks", "mabwiser-linucb", "mabwiser-linucb-affordable"}
    | set(CONTEXTUAL)
)
"""Policies that see what a query is about."""

RIVALS_IN_FOCUS: Final = 3
"""How many of the best other policies figures show in colour."""

NEAR_BEST: Final = 0.9
"""Rewards that the figure of reward against cost shows, as a share of the highest."""

HEADS: Final = (("", 1), ("regret, %", 4), ("spend / b", 4), ("", 3))
COLUMNS: Final = (
    "policy",
    "mean",
    "median",
    "p90",
    "worst",
    "mean",
    "worst",
    "running",
    "stage",
    "over cap",
    "reward",
    "starts",
)
REGRET: Final = (1, 2, 3, 4)
REWARD: Final = 10
"""The columns in which the best is marked."""


def summarise(results: StudyResults, question: str) -> Summary:
    """Compare at every budget."""
    budgets = results.distinct("budget")
    return Summary(
        title="Comparison of policies",
        question=question,
        findings=tuple(_finding(results, budget) for budget in budgets),
        tables=tuple(_table(results, budget) for budget in budgets),
        figures=tuple(figure for budget in budgets for figure in _figures(results, budget)),
    )


def _by_policy(results: StudyResults, budget: float) -> dict[str, list[Record]]:
    return {
        policy: results.of(policy=policy, budget=budget) for policy in results.distinct("policy")
    }


def _ranked(results: StudyResults, budget: float) -> list[str]:
    """Return the policies that keep to budget and caps, oracles apart, least mean regret first."""
    regret = {
        policy: float(column(records, "regret").mean())
        for policy, records in _by_policy(results, budget).items()
        if policy not in KNOWING
        and column(records, "spend").mean() <= WITHIN_BUDGET
        and _over_cap(records) <= WITHIN_CAPS
    }
    return sorted(regret, key=lambda policy: regret[policy])


def _over_cap(records: list[Record]) -> float:
    """Return the share of the queries that models served beyond their caps, stage by stage."""
    return float(np.mean([share_over_caps(record) for record in records]))


def _finding(results: StudyResults, budget: float) -> str:
    """Say who is best among those that keep to budget and caps, oracles apart."""
    ranked = _ranked(results, budget)
    if not ranked:
        return (
            f"At b = {budget:g} no policy keeps to the caps and its mean spend within "
            f"{WITHIN_BUDGET} b."
        )
    by_policy = _by_policy(results, budget)
    regret = {policy: 100 * column(by_policy[policy], "regret") for policy in ranked}
    best = ranked[0]
    text = (
        f"At b = {budget:g}, {_named(best)} has the lowest mean regret of the {len(ranked)} "
        f"policies that keep to the caps and their mean spend within {WITHIN_BUDGET} b: "
        f"{regret[best].mean():.2f} %"
    )
    # The same streams for all: differences are taken seed by seed.
    as_good = [p for p in ranked[1:] if mean_interval(regret[p] - regret[best]).low <= 0.0]
    if as_good:
        others = ", ".join(f"{_named(p)} ({regret[p].mean():.2f} %)" for p in as_good)
        text += f"; no more than chance apart: {others}"
    elif len(ranked) > 1:
        text += f"; next is {_named(ranked[1])} with {regret[ranked[1]].mean():.2f} %"
    if OURS in ranked and OURS not in (best, *as_good, *ranked[1:2]):
        text += f"; {OURS} has {regret[OURS].mean():.2f} %"
    return text + "."


def _named(policy: str) -> str:
    return f"{policy}, which is told each query's task," if policy in TOLD_TASKS else policy


def _table(results: StudyResults, budget: float) -> Table:
    by_policy = _by_policy(results, budget)
    rows = {policy: _row(policy, records) for policy, records in by_policy.items()}
    seeds = len(results.distinct("seed"))
    note = (
        f"Over {seeds} seeds; below a mean or median, what covers it with 95 % (bootstrap over "
        f"seeds). Marked: the best of those that keep to the caps and their mean spend within "
        f"{WITHIN_BUDGET} b, oracles apart. Regret is a share of the stage oracle's expected "
        "reward and counts the mean reward of the models chosen: it can be negative where a "
        "policy overspends or exceeds caps, and what a policy gains by knowing a query's task "
        "shows in its reward alone. Over cap: the share of the queries that models served beyond "
        "their caps, stage by stage; 1 or 2 % is chance. Running: the largest spend so far / "
        "budget so far from query 1,000 on. Stage: the largest overspend of a stage. Starts: "
        "models started."
    )
    return Table(
        f"All policies at b = {budget:g}",
        COLUMNS,
        tuple(rows.values()),
        note,
        heads=HEADS,
        best=_best_cells(rows, _ranked(results, budget)),
        part=_part(budget),
    )


def _row(policy: str, records: list[Record]) -> tuple[str, ...]:
    regret = 100 * column(records, "regret")
    spend = column(records, "spend")
    return (
        policy,
        mean_interval(regret).text(),
        median_interval(regret).text(),
        f"{np.quantile(regret, 0.9):.2f}",
        f"{regret.max():.2f}",
        mean_interval(spend).text(3),
        f"{spend.max():.3f}",
        f"{column(records, 'worst_running_spend').max():.3f}",
        f"{100 * column(records, 'largest_stage_violation').max():+.1f} %",
        f"{100 * _over_cap(records):.1f} %",
        f"{column(records, 'reward').mean():.4f}",
        f"{column(records, 'starts').mean():.1f}",
    )


def _best_cells(rows: dict[str, tuple[str, ...]], able: list[str]) -> frozenset[tuple[int, int]]:
    """Return the cells with the least regret and the most reward among the policies `able`."""
    best = set()
    for place, sign in (*((place, 1.0) for place in REGRET), (REWARD, -1.0)):
        values = {policy: sign * float(rows[policy][place].split()[0]) for policy in able}
        lowest = min(values.values(), default=0.0)
        ties = [policy for policy, value in values.items() if value == lowest]
        best |= {(list(rows).index(policy), place) for policy in ties}
    return frozenset(best)


def _part(budget: float) -> str:
    return f"b = {budget:g} USD per query"


def _in_focus(results: StudyResults, budget: float) -> list[str]:
    """Return the policies that figures show in colour."""
    rivals = [policy for policy in _ranked(results, budget) if policy != OURS]
    return [OURS, "oracle", *rivals[:RIVALS_IN_FOCUS]]


def _figures(results: StudyResults, budget: float) -> list[Figure]:
    policies, focus = _by_policy(results, budget), _in_focus(results, budget)
    regret, spend, points = [], [], []
    for policy, records in policies.items():
        x, is_shown = records[0].curve_queries, policy in focus
        curves = np.array([record.cumulative_regret for record in records])
        regret.append(Curve(policy, x, *bands(curves), in_focus=is_shown))
        curves = np.array([record.running_spend for record in records])
        spend.append(Curve(policy, x, *bands(curves), in_focus=is_shown))
        reward = mean_interval(column(records, "reward"))
        cost = mean_interval(column(records, "spend"))
        ranges = (cost.low, cost.high), (reward.low, reward.high)
        points.append(Point(policy, cost.value, reward.value, *ranges, in_focus=is_shown))
    best = max(point.y for point in points)
    part, seeds = _part(budget), len(results.distinct("seed"))
    figures: list[Figure] = [
        LineFigure(
            "Cumulative regret", "query", "expected reward lost against the oracle",
            tuple(regret), log_y=True, part=part,
            note=f"Lower is better; logarithmic but about 0. Lines are means over {seeds} seeds, "
            "bands cover them with 95 %. A line that flattens has learned.",
        ),
        LineFigure(
            "Spend against the budget", "query", "spend so far / budget so far", tuple(spend),
            level=1.0, y_range=(0.5, 1.5), part=part,
            note="At 1 all of the budget is spent, above it more than was allowed. Arrows: where "
            "those end that leave the figure.",
        ),
        PointFigure(
            "Reward against cost", "spend / b", "mean reward", tuple(points),
            front=True, upright=1.0, part=part, x_range=(0.8, 1.2),
            y_range=(NEAR_BEST * best, best + 0.1 * (1.0 - NEAR_BEST) * best),
            note="Up and to the left is better; right of the upright line is over budget. The "
            "line joins policies that none beats in both. Crosses cover the means with 95 %. At "
            "the edges, with their values: policies far away. Some grey points have no room for "
            "their names; all are in the table.",
        ),
    ]  # fmt: skip
    return figures + _heat_maps(policies, focus, part)


def _heat_maps(policies: dict[str, list[Record]], focus: list[str], part: str) -> list[Figure]:
    """Share of every model in every stage: StageRoute's, the oracle's and the best rival's."""
    compared = [policy for policy in focus[:3] if policy in policies and policies[policy][0].models]
    shares = {policy: mean_shares(policies[policy]) for policy in compared}
    top = max((float(np.nanmax(rows)) for rows in shares.values()), default=1.0)
    return [
        HeatMap(
            f"Who serves: {policy}",
            "stage",
            tuple(str(stage + 1) for stage in range(len(policies[policy][0].stage_starts))),
            tuple(policies[policy][0].models),
            tuple(shares[policy]),
            _agreement_note(policies, policy),
            top=top,
            part=part,
        )
        for policy in compared
    ]


def _agreement_note(policies: dict[str, list[Record]], policy: str) -> str:
    """Say on how much of the traffic a policy agrees with the oracle, stage by stage."""
    order = "Models in order of arrival; grey: not there yet."
    if policy == "oracle" or "oracle" not in policies:
        return order
    both = zip(policies[policy], policies["oracle"], strict=True)
    common = [agreement(record, oracle).served.mean() for record, oracle in both]
    return (
        f"{order} Shares agree with the oracle's on {100 * np.mean(common):.0f} % of the traffic."
    )
