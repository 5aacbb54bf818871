"""What starting models costs, weighed and not weighed."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import REGRET_COLUMNS, REGRET_NOTE, band, interval, key, mean, regret
from stageroute.lab.declared import Curves, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.study import Study, StudySettings
from stageroute.workloads import BuiltIn

LEVELS: Final = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What a start costs, in units of what a stage may spend, b T / K."""

CONTESTANTS: Final = {
    "stageroute": ("stageroute", 1),
    "stageroute, over 3 stages": ("stageroute", 3),
    "stageroute, over 10 stages": ("stageroute", 10),
    "not told": ("stageroute-start-blind", 1),
    "oracle": ("oracle", 1),
    "oracle, over 10 stages": ("oracle", 10),
}
"""Policies by label, and over how many stages they spread a start."""

TABLE: Final = TableOf(
    "Start costs, {part}", ("level", "who"),
    {
        "policy": key("who"),
        "start / (b T / K)": key("level", "g"),
        **REGRET_COLUMNS,
        "starts": interval("starts", 1),
        "of spend": mean("start_spend", ".3f"),
    },
    f"{REGRET_NOTE} Starts count as spent. The oracle of the regret starts models for nothing; the "
    "policy of that name pays. Starts: how many; of spend: their cost / (b T).",
)  # fmt: skip

OVER_COSTS: Final = LinesOf(
    "Regret over start costs, {part}", "a start / (b T / K)", "regret, %",
    (Curves(band(regret), "who"),), over="level", log_x=True, log_y=True,
)  # fmt: skip

OVER_STARTS: Final = LinesOf(
    "Starts and regret, {part}", "starts", "regret, %", (Curves(band(regret), "who"),),
    over="level", x=lambda runs: np.mean([run["starts"] for run in runs]), log_y=True,
    note="Each line goes from free starts to the most expensive ones.",
)  # fmt: skip


def _every_level(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every contestant at every level of start costs."""
    for level in LEVELS[::2] if settings.is_small else LEVELS:
        cost = level * base.limits.budget * base.num_queries / base.num_stages
        for who in [*CONTESTANTS][::3] if settings.is_small else CONTESTANTS:
            policy, stages = CONTESTANTS[who]
            yield base.but(
                {"level": level, "who": who}, policy=policy, start_cost=cost, start_stages=stages
            )


STUDY: Final = Study(
    "starts", "Start costs", "What does it bring to weigh what starting a model costs?",
    (Part("b = {budget:g}", (TABLE, OVER_COSTS, OVER_STARTS), by=("budget",)),),
    StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), budgets=(0.0003, 0.001),
        seeds=tuple(range(12)),
    ),
    _every_level,
)  # fmt: skip
