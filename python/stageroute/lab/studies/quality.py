"""Did decisions get worse? StageRoute with every family of bounds; a baseline to compare with."""

from dataclasses import replace

from stageroute.config.confidence import CONFIDENCE_FAMILIES, Confidence
from stageroute.lab.columns import key, mean, median, plain_regret, quantile, worst
from stageroute.lab.declared import Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings

__all__ = ["Quality"]


class Quality(Study):
    """StageRoute with every family of bounds, short enough for continuous integration."""

    name = "quality"
    title = "Quality of decisions"
    question = "Did decisions get worse? Compare two runs with 'stageroute compare'."
    full = StudySettings(seeds=tuple(range(16)), num_queries=8_000, num_stages=16)

    table = TableOf(
        "{policy}, b = {budget:g} USD per query, {seeds} seeds", ("bounds",),
        {
            "bounds": key("bounds"),
            "regret, %": {
                "median": median(plain_regret),
                "p90": quantile(plain_regret, 0.9),
                "worst": worst(plain_regret),
            },
            "spend / b": {
                "mean": mean("spend", ".3f"),
                "worst": worst("spend", ".3f"),
                "worst running": worst("worst_running_spend", ".3f"),
            },
        },
    )  # fmt: skip
    parts = (Part("", (table,), by=("budget", "policy")),)

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
