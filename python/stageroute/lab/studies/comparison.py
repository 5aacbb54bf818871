"""Which policy is best: regret and spend of all of them on the same streams."""

from dataclasses import replace

from stageroute.lab.episodes import Episode
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.comparison_summary import summarise
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Summary
from stageroute.policies import POLICIES

__all__ = ["Comparison"]


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
        return summarise(results, self.question)
