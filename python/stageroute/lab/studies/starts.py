"""What starting models costs, weighed and not weighed."""

from dataclasses import dataclass, replace
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
from stageroute.lab.declared import Column, Curves, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings
from stageroute.workloads import BuiltIn

__all__ = ["LEVELS", "Starts"]

LEVELS: Final = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What a start costs, in units of what a stage may spend, b T / K."""

OURS, BLIND, ORACLE = "stageroute", "stageroute-start-blind", "oracle"


@dataclass(frozen=True)
class Contestant:
    """A policy and over how many stages it spreads a start."""

    label: str
    policy: str
    start_stages: int = 1


CONTESTANTS: Final = (
    Contestant("stageroute", OURS),
    Contestant("stageroute, over 3 stages", OURS, 3),
    Contestant("stageroute, over 10 stages", OURS, 10),
    Contestant("not told", BLIND),
    Contestant("oracle", ORACLE),
    Contestant("oracle, over 10 stages", ORACLE, 10),
)

NOTE: Final = (
    f"{REGRET_NOTE} Starts count as spent. The oracle of the regret starts models for nothing; the "
    "policy of that name pays. Starts: how many; of spend: their cost / (b T)."
)


class Starts(Study):
    """Start costs from none to what a whole stage may spend."""

    name = "starts"
    title = "Start costs"
    question = "What does it bring to weigh what starting a model costs?"

    parts = (
        Part(
            "b = {budget:g}", by=("budget",),
            shows=(
                TableOf(
                    "Start costs, {part}",
                    rows=("level", "who"),
                    columns=(
                        Column("policy", key("who")),
                        Column("start / (b T / K)", key("level", "g")),
                        *REGRET_COLUMNS,
                        Column("starts", interval("starts", 1)),
                        Column("of spend", mean("start_spend", ".3f")),
                    ),
                    note=NOTE,
                ),
                LinesOf(
                    "Regret over start costs, {part}", "a start / (b T / K)", "regret, %",
                    (Curves(band(regret), "who"),), over="level", log_x=True, log_y=True,
                ),
                LinesOf(
                    "Starts and regret, {part}", "starts", "regret, %",
                    (Curves(band(regret), "who"),),
                    over="level", x=lambda runs: column(runs, "starts").mean(), log_y=True,
                    note="Each line goes from free starts to the most expensive ones.",
                ),
            ),
        ),
    )  # fmt: skip

    def settings(self) -> StudySettings:
        """Return the full setting."""
        return replace(
            super().settings(),
            workload=BuiltIn(arrival_order=RELEASE_ORDER),
            budgets=(0.0003, 0.001),
            seeds=tuple(range(12)),
        )

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every contestant at every level of start costs."""
        levels = LEVELS[::2] if settings.is_small else LEVELS
        contestants = CONTESTANTS[::3] if settings.is_small else CONTESTANTS
        return [
            episode(
                settings, contestant.policy,
                replace(
                    settings.at_budget(budget),
                    start_cost=level * budget * settings.num_queries / settings.num_stages,
                    start_stages=contestant.start_stages,
                ),
                seed,
                (("level", level), ("who", contestant.label)),
            )
            for seed in settings.seeds
            for budget in settings.budgets
            for level in levels
            for contestant in contestants
        ]  # fmt: skip
