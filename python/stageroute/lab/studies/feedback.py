"""Feedback that is late, or comes from a judge that errs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import REGRET_COLUMNS, REGRET_NOTE, band, key, regret
from stageroute.lab.declared import Curves, Each, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.runs import Runs
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings
from stageroute.policies import RewardPrior
from stageroute.workloads import BuiltIn, Delayed, Noisy, Workload

__all__ = ["DELAYS", "Feedback"]

DELAYS: Final = (0, 50, 200, 1_000, 5_000)
"""In queries."""

EXACT: Final = "exact"

OURS: Final = "stageroute"
TOLD: Final = "stageroute with scores"
SCORES: Final = RewardPrior("scores", error=0.05, weight=100)
"""What StageRoute is told in the second of its two entries."""

FLIPS: Final = "flips 20 %"
"""The judge that also comes with a delay, of 1,000 queries."""

FAVOURITE: Final = "gpt-3.5-turbo-1106"
"""Of the judge that has one; a model that costs as much as others and is no better."""


JUDGES: Final[Mapping[str, Mapping[str, Any]]] = {
    EXACT: {},
    "noise 0.2": {"noise": 0.2},
    "flips 5 %": {"flips": 0.05},
    FLIPS: {"flips": 0.2},
    "favours one by 0.2": {"bias": 0.2, "favourite": FAVOURITE},
}
"""Judges of answers by label: what `Noisy` takes."""


def _judge(runs: Runs) -> str:
    """Name the judge, and the delay where there is one too."""
    judge, delay = runs[0]["judge"], runs[0]["delay"]
    return f"{judge}, {delay:,} late" if delay else str(judge)


class Feedback(Study):
    """Late rewards and costs, judges that err, and both."""

    name = "feedback"
    title = "Late and wrong feedback"
    question = "What do late and wrong rewards cost, in reward and in money?"

    full = StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), budgets=(0.0003, 0.001),
        policies=("stageroute", "thompson", "linucb", "bwk"), seeds=tuple(range(12)),
    )  # fmt: skip

    late = TableOf(
        "Late feedback, {part}", ("delay",),
        {"delay, queries": key("delay", ","), "": Each("who", REGRET_COLUMNS)},
        REGRET_NOTE, where={"judge": EXACT},
    )  # fmt: skip
    wrong = TableOf(
        "Judges that err, {part}", ("delay", "judge"),
        {"judge": _judge, "": Each("who", REGRET_COLUMNS)},
        REGRET_NOTE, where=lambda run: run["judge"] != EXACT or run["delay"] == 0,
    )  # fmt: skip
    over_delay = LinesOf(
        "Regret over delay, {part}", "queries until feedback comes", "regret, %",
        (Curves(band(regret), "who"),), over="delay", where={"judge": EXACT}, log_x=True,
    )  # fmt: skip
    early = LinesOf(
        "Early spend over delay, {part}", "queries until feedback comes",
        "spend over the first 1,000 queries / b", (Curves(band("early_spend"), "who"),),
        over="delay", where={"judge": EXACT}, log_x=True, level=1.0,
    )  # fmt: skip
    parts = (Part("b = {budget:g}", (late, wrong, over_delay, early), by=("budget",)),)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every policy under every delay and every judge, on the streams of every seed."""
        everyone = [(policy, policy, None) for policy in settings.policies]
        told = [(TOLD, OURS, SCORES)] if OURS in settings.policies else []
        return [
            episode(
                settings, policy, replace(settings.at_budget(budget), reward_prior=prior), seed,
                (("delay", delay), ("judge", judge), ("who", who)),
                workload=_workload(settings.workload, delay, judge),
            )
            for seed in settings.seeds
            for delay, judge in _cells(is_small=settings.is_small)
            for budget in settings.budgets
            for who, policy, prior in (*everyone, *told)
        ]  # fmt: skip


def _workload(base: Workload, delay: int, judge: str) -> Workload:
    judged = base if judge == EXACT else Noisy(base, **{"noise": 0.0, **JUDGES[judge]})
    return Delayed(judged, delay) if delay else judged


def _cells(*, is_small: bool) -> list[tuple[int, str]]:
    delays, judges = (DELAYS[::2], [*JUDGES][::3]) if is_small else (DELAYS, [*JUDGES])
    alone = [(0, judge) for judge in judges if judge != EXACT]
    return [*((delay, EXACT) for delay in delays), *alone, (1_000, FLIPS)]
