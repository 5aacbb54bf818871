"""What contextual features bring to routing, with deployment left as it is."""

from typing import Final

import numpy as np

from stageroute.datasets import OutcomeTable
from stageroute.lab.columns import band, column, interval, key, mean, timed, worst
from stageroute.lab.declared import Curves, Each, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.runs import Run, Runs
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings
from stageroute.policies.ours.contexts import families

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

BUDGETS, HORIZONS = "budgets", "horizons"
"""Parts of the study."""

BOUNDS: Final = {
    "stageroute-family": "oracle-family",
    "stageroute-family-own-budget": "oracle-family",
    "oracle-family-own-budget": "oracle-family",
    "stageroute-task": "oracle-task",
    "stageroute-task-own-budget": "oracle-task",
    "linucb-task": "oracle-task",
}
"""What each policy could reach with the context it has, on the stage oracle's live set."""

OWN: Final = "-own-budget"

LENGTHS: Final = (1 / 16, 1 / 4, 4)
"""Horizons beside T, in multiples of it."""


def _gain(run: Run) -> float:
    """Return what a policy earned more than the stage oracle, the best there is without context."""
    return run.record.reward - run.oracle().record.reward


def _realised(runs: Runs) -> str:
    """Return the part of the bound's gain that a policy realised; a dash without a bound."""
    bounds = [bound for run in runs if (bound := run.beside(BOUNDS.get(run["policy"])))]
    possible = float(column(bounds, _gain).mean()) if bounds else 0.0
    return f"{float(column(runs, _gain).mean()) / possible:.0%}" if possible > 0 else "-"


def _worth_of_sharing(runs: Runs) -> str:
    """Return what a shared price of money earns more than a budget for each query."""
    pairs = {run: own for run in runs if (own := run.beside(run["policy"] + OWN))}
    if not pairs:
        return "-"
    return interval(lambda run: run.record.reward - pairs[run].record.reward, 4)(list(pairs))


CURVES: Final = (
    Curves(
        band(_gain), "policy",
        where=lambda run: not run["policy"].startswith("oracle"),
    ),
    Curves(
        band(_gain), "policy", is_reference=True,
        where=lambda run: run["policy"] in ("oracle-family", "oracle-task"),
    ),
)  # fmt: skip


class Context(Study):
    """The same streams routed without context, by family, by task and by prompt."""

    name = "context"
    title = "Context ({workload})"
    question = (
        "What do contextual features bring if only routing knows them, and how should queries "
        "share the budget?"
    )

    full = StudySettings(
        policies=(*WITHOUT, *BY_FAMILY, *BY_TASK, *BY_PROMPT), seeds=tuple(range(10))
    )

    gains = TableOf(
        "{part}", ("policy",),
        {
            "policy": key("policy"),
            "reward": {
                "reward": mean("reward", ".4f"),
                "gain": interval(_gain, 4),
                "of the bound's": _realised,
                "by sharing": _worth_of_sharing,
            },
            "spend / b": {
                "mean": mean("spend", ".3f"),
                "worst running": worst("worst_running_spend", ".3f"),
            },
            "a query": {"ns": timed("nanoseconds_per_query", ",.0f", min)},
        },
        "Gain: reward more than the stage oracle's, the best without context, on the same streams. "
        "Bound: the oracle with the same context on the same live set. By sharing: reward more "
        "than with a budget for each query in place of one price of money. Time: the fastest of "
        "the seeds, on one machine; oracles with context are replayed query by query from Python.",
    )  # fmt: skip
    over_budgets = LinesOf(
        "Reward gained by context", "b, USD per query", "reward above the stage oracle's", CURVES,
        over="budget", log_x=True, level=0.0,
        note="At 0: the best mixture without context. References are the oracles with context.",
    )  # fmt: skip
    by_horizon = TableOf(
        "Gain over the stage oracle by horizon, b = {budget:g}", ("policy",),
        {
            "policy": key("policy"),
            "": Each(
                "num_queries", {"gain": interval(_gain, 4), "of the bound's": _realised}, "T = {:,}"
            ),
        },
        where=lambda run: run["policy"] != WITHOUT[0],
    )  # fmt: skip
    over_horizons = LinesOf(
        "Learning per context costs data", "T, queries", "reward above the stage oracle's", CURVES,
        over="num_queries", log_x=True, level=0.0,
    )  # fmt: skip
    parts = (
        Part("b = {budget:g}", (gains,), by=("budget",), where={"part": BUDGETS}),
        Part("All budgets", (over_budgets,), where={"part": BUDGETS}),
        Part("Horizon", (by_horizon, over_horizons), by=("budget",), where={"part": HORIZONS}),
    )

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
    return episode(
        settings, policy, settings.at_budget(budget), seed, (("part", part),),
        num_queries=horizon, num_stages=min(settings.num_stages, horizon),
    )  # fmt: skip
