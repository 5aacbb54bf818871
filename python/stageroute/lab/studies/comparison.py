"""Which policy is best: regret and spend of all of them on the same streams."""

from dataclasses import replace
from typing import Final

import numpy as np

from stageroute.lab.episodes import Episode, Record
from stageroute.lab.intervals import bands, mean_interval, median_interval
from stageroute.lab.results import StudyResults
from stageroute.lab.study import Study, StudySettings
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
from stageroute.policies import POLICIES

__all__ = ["Comparison"]

WITHIN_BUDGET: Final = 1.01
"""A policy keeps to the budget if its mean spend / b over the seeds is no more."""

COLUMNS: Final = (
    "policy",
    "regret %: mean",
    "median",
    "p90",
    "worst",
    "spend / b: mean",
    "worst",
    "worst running",
    "worst stage",
    "reward",
    "starts",
)


class Comparison(Study):
    """All policies on the same streams, at several budgets."""

    name = "comparison"
    question = "Which policy loses least against the stage oracle, and which keeps to the budget?"

    def settings(self) -> StudySettings:
        """Return the full setting: every policy of our own; rivals are added by name."""
        return replace(super().settings(), policies=tuple(POLICIES))

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every policy at every budget on the stream of every seed."""
        return [
            Episode(
                workload=settings.workload,
                policy=policy,
                limits=settings.at_budget(budget),
                num_queries=settings.num_queries,
                num_stages=settings.num_stages,
                seed=seed,
            )
            for seed in settings.seeds
            for budget in settings.budgets
            for policy in settings.policies
        ]

    def summarise(self, results: StudyResults) -> Summary:
        """Compare at every budget."""
        budgets = results.distinct("budget")
        return Summary(
            title="Comparison of policies",
            question=self.question,
            findings=tuple(_finding(results, budget) for budget in budgets),
            tables=tuple(_table(results, budget) for budget in budgets),
            figures=tuple(figure for budget in budgets for figure in _figures(results, budget)),
        )


def _by_policy(results: StudyResults, budget: float) -> dict[str, list[Record]]:
    return {
        policy: results.of(policy=policy, budget=budget) for policy in results.distinct("policy")
    }


def _column(records: list[Record], name: str) -> np.ndarray:
    return np.array([getattr(record, name) for record in records])


def _finding(results: StudyResults, budget: float) -> str:
    """Say who is best among those that keep to the budget, oracles apart."""
    regret = {
        policy: float(_column(records, "regret").mean())
        for policy, records in _by_policy(results, budget).items()
        if policy not in KNOWING and _column(records, "spend").mean() <= WITHIN_BUDGET
    }
    if not regret:
        return f"At b = {budget:g} no policy keeps its mean spend within {WITHIN_BUDGET} b."
    order = sorted(regret, key=lambda policy: regret[policy])
    text = (
        f"At b = {budget:g}, {order[0]} has the lowest mean regret of the {len(order)} policies "
        f"that keep their mean spend within {WITHIN_BUDGET} b: {100 * regret[order[0]]:.2f} %"
    )
    if len(order) > 1:
        text += f"; next is {order[1]} with {100 * regret[order[1]]:.2f} %"
    return text + "."


KNOWING: Final = ("oracle", "static", "clairvoyant")
"""Policies that are told what others must learn."""


def _table(results: StudyResults, budget: float) -> Table:
    rows = []
    for policy, records in _by_policy(results, budget).items():
        regret = 100 * _column(records, "regret")
        spend = _column(records, "spend")
        rows.append(
            (
                policy,
                mean_interval(regret).text(),
                median_interval(regret).text(),
                f"{np.quantile(regret, 0.9):.2f}",
                f"{regret.max():.2f}",
                mean_interval(spend).text(3),
                f"{spend.max():.3f}",
                f"{_column(records, 'worst_running_spend').max():.3f}",
                f"{_column(records, 'largest_stage_violation').max():+.1%}",
                f"{_column(records, 'reward').mean():.4f}",
                f"{_column(records, 'starts').mean():.1f}",
            )
        )
    seeds = len(results.distinct("seed"))
    note = (
        f"{seeds} seeds; in brackets what covers the figure with 95 % (bootstrap over seeds). "
        "Regret is a share of the stage oracle's expected reward; it can be negative where a "
        "policy overspends. Worst running: the largest spend so far / budget so far from query "
        "1,000 on. Worst stage: the largest overspend of a stage. Starts: models started."
    )
    return Table(f"b = {budget:g} USD per query", COLUMNS, tuple(rows), note)


def _figures(results: StudyResults, budget: float) -> list[Figure]:
    policies = _by_policy(results, budget)
    regret, spend, points = [], [], []
    for policy, records in policies.items():
        x = records[0].curve_queries
        curves = np.array([record.cumulative_regret for record in records])
        regret.append(Curve(policy, x, *bands(curves)))
        curves = np.array([record.running_spend for record in records])
        spend.append(Curve(policy, x, *bands(curves)))
        reward = mean_interval(_column(records, "reward"))
        cost = mean_interval(_column(records, "spend"))
        ranges = (cost.low, cost.high), (reward.low, reward.high)
        points.append(Point(policy, cost.value, reward.value, *ranges))
    at = f"b = {budget:g}"
    figures: list[Figure] = [
        LineFigure(
            f"Cumulative regret, {at}", "query", "reward lost against the oracle", tuple(regret)
        ),
        LineFigure(
            f"Spend against the budget, {at}", "query", "spend so far / budget so far",
            tuple(spend), level=1.0,
        ),
        PointFigure(
            f"Reward against cost, {at}", "spend / b", "mean reward", tuple(points),
            front=True, upright=1.0,
        ),
    ]  # fmt: skip
    return figures + _heat_maps(policies, at)


def _heat_maps(policies: dict[str, list[Record]], at: str) -> list[Figure]:
    """Share of every model in every stage, mean over seeds: the oracle's beside StageRoute's."""
    return [
        HeatMap(
            f"Who serves: {policy}, {at}",
            "stage",
            tuple(str(stage + 1) for stage in range(len(records[0].stage_starts))),
            tuple(records[0].models),
            tuple(_mean_shares(records)),
        )
        for policy, records in policies.items()
        if policy in ("stageroute", "oracle") and records[0].models
    ]


def _mean_shares(records: list[Record]) -> list[list[float]]:
    """Return model by model its share in each stage, where all seeds have the same models."""
    shape = len(records[0].stage_starts), len(records[0].models)
    shares = np.mean([np.reshape(record.stage_shares, shape) for record in records], axis=0)
    rows: list[list[float]] = shares.T.tolist()
    return rows
