"""What contextual features bring to routing, with deployment left as it is."""

from dataclasses import replace
from typing import Final

import numpy as np

from stageroute.datasets import OutcomeTable
from stageroute.lab.episodes import Episode
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.context_summary import BUDGETS, HORIZONS, summarise
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Summary
from stageroute.policies.contexts import families

__all__ = ["Context"]

WITHOUT: Final = ("oracle", "stageroute")
"""Policies without context, the first of them the yardstick."""

BY_FAMILY: Final = (
    "oracle-family",
    "oracle-family-own-budget",
    "stageroute-family",
    "stageroute-family-own-budget",
)
BY_TASK: Final = ("oracle-task", "stageroute-task", "stageroute-task-own-budget", "linucb-task")
BY_PROMPT: Final = ("stageroute-linear", "stageroute-linear-own-budget")

LENGTHS: Final = (1 / 16, 1 / 4, 4)
"""Horizons beside T, in multiples of it."""


class Context(Study):
    """The same streams routed without context, by family, by task and by prompt."""

    name = "context"
    question = (
        "What do contextual features bring if only routing knows them, and how should queries "
        "share the budget?"
    )

    def settings(self) -> StudySettings:
        """Return the full setting; horizons are varied at the limits' budget."""
        policies = (*WITHOUT, *BY_FAMILY, *BY_TASK, *BY_PROMPT)
        return replace(super().settings(), policies=policies, seeds=tuple(range(10)))

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return the policies for which the table has context, at every budget and horizon."""
        policies = able(settings.policies, settings.workload.table())
        lengths = (1 / 4,) if settings.is_small else LENGTHS
        horizons = [round(settings.num_queries * length) for length in lengths]
        main = [
            _episode(settings, policy, budget, settings.num_queries, seed, BUDGETS)
            for seed in settings.seeds
            for budget in settings.budgets
            for policy in policies
        ]
        return main + [
            _episode(settings, policy, settings.limits.budget, horizon, seed, HORIZONS)
            for seed in settings.seeds
            for horizon in sorted({*horizons, settings.num_queries})
            for policy in policies
        ]

    def summarise(self, results: StudyResults) -> Summary:
        """Tell what context brought."""
        return summarise(results, self.question)


def able(policies: tuple[str, ...], table: OutcomeTable) -> list[str]:
    """Return the policies that a table has the context for; without tasks, those without any."""
    tasks = [] if table.task is None else np.unique(table.task).tolist()
    # Where only rare tasks were put together, tasks are the families once more.
    tasks_say_more = bool(tasks) and len(tasks) >= 2 * np.unique(families(table)).size
    has_prompts = table.prompts is not None and all(table.prompts)
    allowed = {
        **dict.fromkeys(BY_FAMILY, bool(tasks)),
        **dict.fromkeys(BY_TASK, tasks_say_more),
        **dict.fromkeys(BY_PROMPT, has_prompts),
    }
    return [policy for policy in policies if allowed.get(policy, True)]


def _episode(
    settings: StudySettings, policy: str, budget: float, horizon: int, seed: int, part: str
) -> Episode:
    return Episode(
        workload=settings.workload,
        policy=policy,
        limits=settings.at_budget(budget),
        num_queries=horizon,
        num_stages=min(settings.num_stages, horizon),
        seed=seed,
        cell=(("part", part),),
    )
