"""Did decisions get worse? StageRoute with every family of bounds; a baseline to compare with."""

from dataclasses import replace

from stageroute.config.confidence import CONFIDENCE_FAMILIES, Confidence
from stageroute.lab.columns import key, mean, median, quantile, worst
from stageroute.lab.declared import Column, Part, TableOf, Under
from stageroute.lab.episodes import Episode
from stageroute.lab.runs import Run
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings

__all__ = ["Quality"]


def _regret(run: Run) -> float:
    """Return the regret in %, overspending not charged."""
    return 100.0 * run.record.regret


class Quality(Study):
    """StageRoute with every family of bounds, short enough for continuous integration."""

    name = "quality"
    title = "Quality of decisions"
    question = "Did decisions get worse? Compare two runs with 'stageroute compare'."

    parts = (
        Part(
            "", by=("budget", "policy"),
            shows=(
                TableOf(
                    "{policy}, b = {budget:g} USD per query, {seeds} seeds",
                    rows=("bounds",),
                    columns=(
                        Column("bounds", key("bounds")),
                        Under("regret, %", (
                            Column("median", median(_regret)),
                            Column("p90", quantile(_regret, 0.9)),
                            Column("worst", worst(_regret)),
                        )),
                        Under("spend / b", (
                            Column("mean", mean("spend", ".3f")),
                            Column("worst", worst("spend", ".3f")),
                            Column("worst running", worst("worst_running_spend", ".3f")),
                        )),
                    ),
                ),
            ),
        ),
    )  # fmt: skip

    def settings(self) -> StudySettings:
        """Return the full setting: a few seconds."""
        return replace(super().settings(), seeds=tuple(range(16)), num_queries=8_000, num_stages=16)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every family, as it is by default, at every budget on every seed's stream."""
        return [
            episode(
                settings, policy,
                replace(settings.at_budget(budget), confidence=Confidence(family)),
                seed, (("bounds", family),),
            )
            for seed in settings.seeds
            for budget in settings.budgets
            for policy in settings.policies
            for family in CONFIDENCE_FAMILIES
        ]  # fmt: skip
