"""What contextual features bring to routing, with deployment left as it is."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from stageroute.datasets import OutcomeTable
from stageroute.lab.columns import band, column, interval, key, least, mean, time, worst
from stageroute.lab.declared import Curves, Each, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Run, Runs
from stageroute.lab.study import Study, StudySettings
from stageroute.policies.ours.contexts import families

WITHOUT: Final = ("oracle", "stageroute")
"""Policies without context, the first of them the yardstick."""

BOUNDS: Final = {
    "oracle-family": None,
    "oracle-family-own-budget": "oracle-family",
    "stageroute-family": "oracle-family",
    "stageroute-family-own-budget": "oracle-family",
    "oracle-task": None,
    "stageroute-task": "oracle-task",
    "stageroute-task-own-budget": "oracle-task",
    "linucb-task": "oracle-task",
    "stageroute-linear": None,
    "stageroute-linear-own-budget": None,
}
"""Policies with context; what each could reach with it, on the stage oracle's live set."""

BUDGETS, HORIZONS = "budgets", "horizons"
"""Parts of the study."""

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
    Curves(band(_gain), "policy", where=lambda run: not run["policy"].startswith("oracle")),
    Curves(
        band(_gain), "policy", is_reference=True,
        where=lambda run: run["policy"] in ("oracle-family", "oracle-task"),
    ),
)  # fmt: skip

GAINS: Final = TableOf(
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
        "a query": {"ns": least(time("nanoseconds_per_query"), ",.0f")},
    },
    "Gain: reward more than the stage oracle's, the best without context, on the same streams. "
    "Bound: the oracle with the same context on the same live set. By sharing: reward more "
    "than with a budget for each query in place of one price of money. Time: the fastest of "
    "the seeds, on one machine; oracles with context are replayed query by query from Python.",
)  # fmt: skip

OVER_BUDGETS: Final = LinesOf(
    "Reward gained by context", "b, USD per query", "reward above the stage oracle's", CURVES,
    over="budget", log_x=True, level=0.0,
    note="At 0: the best mixture without context. References are the oracles with context.",
)  # fmt: skip

BY_HORIZON: Final = TableOf(
    "Gain over the stage oracle by horizon, b = {budget:g}", ("policy",),
    {
        "policy": key("policy"),
        "": Each(
            "num_queries", {"gain": interval(_gain, 4), "of the bound's": _realised}, "T = {:,}"
        ),
    },
    where=lambda run: run["policy"] != WITHOUT[0],
)  # fmt: skip

OVER_HORIZONS: Final = LinesOf(
    "Learning per context costs data", "T, queries", "reward above the stage oracle's", CURVES,
    over="num_queries", log_x=True, level=0.0,
)  # fmt: skip


def _at_each_budget(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield the policies for which the table has context."""
    for policy in able(settings.policies, settings.workload.table()):
        yield base.but({"part": BUDGETS}, policy=policy)


def _at_each_horizon(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield the policies for which the table has context."""
    lengths = (1 / 4,) if settings.is_small else LENGTHS
    for horizon in sorted({round(base.num_queries * length) for length in (*lengths, 1)}):
        stages = min(base.num_stages, horizon)
        for policy in able(settings.policies, settings.workload.table()):
            yield base.but(
                {"part": HORIZONS, "T": horizon}, policy=policy, num_queries=horizon,
                num_stages=stages,
            )  # fmt: skip


def able(policies: tuple[str, ...], table: OutcomeTable) -> list[str]:
    """Return the policies that a table has the context for; without tasks, those without any."""
    tasks = [] if table.task is None else np.unique(table.task).tolist()
    # Where only rare tasks were put together, tasks are the families once more.
    tasks_say_more = bool(tasks) and len(tasks) >= 2 * np.unique(families(table)).size
    has_prompts = table.prompts is not None and all(table.prompts)
    has = {"family": bool(tasks), "task": tasks_say_more, "linear": has_prompts}
    return [
        policy
        for policy in policies
        if policy not in BOUNDS or has[policy.removesuffix(OWN).rpartition("-")[2]]
    ]


STUDY: Final = Study(
    "context", "Context ({workload})",
    "What do contextual features bring if only routing knows them, and how should queries "
    "share the budget?",
    (
        Part("b = {budget:g}", (GAINS,), by=("budget",), where={"part": BUDGETS}),
        Part("All budgets", (OVER_BUDGETS,), where={"part": BUDGETS}),
        Part("Horizon", (BY_HORIZON, OVER_HORIZONS), by=("budget",), where={"part": HORIZONS}),
    ),
    StudySettings(policies=(*WITHOUT, *BOUNDS), seeds=tuple(range(10))),
    _at_each_budget, _at_each_horizon,
)  # fmt: skip
