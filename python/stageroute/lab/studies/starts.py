"""What starting models costs, weighed and not weighed."""

from dataclasses import replace
from typing import Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import (
    REGRET_COLUMNS,
    REGRET_NOTE,
    band,
    column,
    interval,
    key,
    mean,
    regret,
)
from stageroute.lab.declared import Curves, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings
from stageroute.workloads import BuiltIn

__all__ = ["LEVELS", "Starts"]

LEVELS: Final = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What a start costs, in units of what a stage may spend, b T / K."""

OURS, BLIND, ORACLE = "stageroute", "stageroute-start-blind", "oracle"


CONTESTANTS: Final = {
    "stageroute": (OURS, 1),
    "stageroute, over 3 stages": (OURS, 3),
    "stageroute, over 10 stages": (OURS, 10),
    "not told": (BLIND, 1),
    "oracle": (ORACLE, 1),
    "oracle, over 10 stages": (ORACLE, 10),
}
"""Policies by label, and over how many stages they spread a start."""

NOTE: Final = (
    f"{REGRET_NOTE} Starts count as spent. The oracle of the regret starts models for nothing; the "
    "policy of that name pays. Starts: how many; of spend: their cost / (b T)."
)


class Starts(Study):
    """Start costs from none to what a whole stage may spend."""

    name = "starts"
    title = "Start costs"
    question = "What does it bring to weigh what starting a model costs?"

    full = StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), budgets=(0.0003, 0.001),
        seeds=tuple(range(12)),
    )  # fmt: skip

    table = TableOf(
        "Start costs, {part}", ("level", "who"),
        {
            "policy": key("who"),
            "start / (b T / K)": key("level", "g"),
            **REGRET_COLUMNS,
            "starts": interval("starts", 1),
            "of spend": mean("start_spend", ".3f"),
        },
        NOTE,
    )  # fmt: skip
    over_costs = LinesOf(
        "Regret over start costs, {part}", "a start / (b T / K)", "regret, %",
        (Curves(band(regret), "who"),), over="level", log_x=True, log_y=True,
    )  # fmt: skip
    over_starts = LinesOf(
        "Starts and regret, {part}", "starts", "regret, %", (Curves(band(regret), "who"),),
        over="level", x=lambda runs: column(runs, "starts").mean(), log_y=True,
        note="Each line goes from free starts to the most expensive ones.",
    )  # fmt: skip
    parts = (Part("b = {budget:g}", (table, over_costs, over_starts), by=("budget",)),)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every contestant at every level of start costs."""
        step = 2 if settings.is_small else 1
        labels = [*CONTESTANTS][::3] if settings.is_small else CONTESTANTS
        return [
            episode(
                settings, CONTESTANTS[label][0],
                replace(
                    settings.at_budget(budget),
                    start_cost=level * budget * settings.num_queries / settings.num_stages,
                    start_stages=CONTESTANTS[label][1],
                ),
                seed, (("level", level), ("who", label)),
            )
            for seed in settings.seeds
            for budget in settings.budgets
            for level in LEVELS[::step]
            for label in labels
        ]  # fmt: skip
