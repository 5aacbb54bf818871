"""Did decisions get worse? StageRoute with every family of bounds; a baseline to compare with."""

from dataclasses import replace
from typing import Final

import numpy as np

from stageroute.config.confidence import CONFIDENCE_FAMILIES, Confidence
from stageroute.lab.episodes import Episode, Record
from stageroute.lab.results import StudyResults
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Summary, Table

__all__ = ["Quality"]

COLUMNS: Final = (
    "bounds",
    "regret %: median",
    "p90",
    "worst",
    "spend / b: mean",
    "worst",
    "worst running",
)


class Quality(Study):
    """StageRoute with every family of bounds, short enough for continuous integration."""

    name = "quality"
    question = "Did decisions get worse? Compare two runs with 'stageroute compare'."

    def settings(self) -> StudySettings:
        """Return the full setting: a few seconds."""
        return replace(super().settings(), seeds=tuple(range(16)), num_queries=8_000, num_stages=16)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every family, as it is by default, at every budget on every seed's stream."""
        return [
            Episode(
                workload=settings.workload,
                policy=policy,
                limits=replace(settings.at_budget(budget), confidence=Confidence(family)),
                num_queries=settings.num_queries,
                num_stages=settings.num_stages,
                seed=seed,
                cell=(("bounds", family),),
            )
            for seed in settings.seeds
            for budget in settings.budgets
            for policy in settings.policies
            for family in CONFIDENCE_FAMILIES
        ]

    def summarise(self, results: StudyResults) -> Summary:
        """Show regret and spend by family."""
        tables = [
            _table(results, budget, policy)
            for budget in results.distinct("budget")
            for policy in results.distinct("policy")
        ]
        return Summary("Quality of decisions", self.question, (), tuple(tables), ())


def _table(results: StudyResults, budget: float, policy: str) -> Table:
    rows = [
        _row(family, results.of(budget=budget, policy=policy, bounds=family))
        for family in results.distinct("bounds")
    ]
    seeds = len(results.distinct("seed"))
    title = f"{policy}, b = {budget:g} USD per query, {seeds} seeds"
    return Table(title, COLUMNS, tuple(rows))


def _row(family: str, records: list[Record]) -> tuple[str, ...]:
    regret = 100 * np.array([record.regret for record in records])
    spend = np.array([record.spend for record in records])
    running = max(record.worst_running_spend for record in records)
    return (
        family,
        f"{np.median(regret):.2f}",
        f"{np.quantile(regret, 0.9):.2f}",
        f"{regret.max():.2f}",
        f"{spend.mean():.3f}",
        f"{spend.max():.3f}",
        f"{running:.3f}",
    )
