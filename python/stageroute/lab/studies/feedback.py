"""Feedback that is late, or comes from a judge that errs."""

from dataclasses import dataclass, replace
from typing import Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import REGRET_COLUMNS, REGRET_NOTE, band, key, regret
from stageroute.lab.declared import Column, Curves, Each, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.runs import Runs
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings
from stageroute.policies import RewardPrior
from stageroute.workloads import BuiltIn, Delayed, Noisy, Workload

__all__ = ["DELAYS", "Feedback", "Judge"]

DELAYS: Final = (0, 50, 200, 1_000, 5_000)
"""In queries."""

EXACT: Final = "exact"

OURS: Final = "stageroute"
TOLD: Final = "stageroute with scores"
SCORES: Final = RewardPrior("scores", error=0.05, weight=100)
"""What StageRoute is told in the second of its two entries."""

FAVOURITE: Final = "gpt-3.5-turbo-1106"
"""Of the judge that has one; a model that costs as much as others and is no better."""


@dataclass(frozen=True)
class Judge:
    """A judge of answers.

    Parameters
    ----------
    label : str
    noise, flips, bias, favourite
        As in `Noisy`.
    """

    label: str
    noise: float = 0.0
    flips: float = 0.0
    bias: float = 0.0
    favourite: str | None = None

    def over(self, workload: Workload) -> Workload:
        """Return the workload as this judge reports it."""
        if self.label == EXACT:
            return workload
        return Noisy(workload, self.noise, self.flips, self.bias, self.favourite)


JUDGES: Final = (
    Judge(EXACT),
    Judge("noise 0.2", noise=0.2),
    Judge("flips 5 %", flips=0.05),
    Judge("flips 20 %", flips=0.2),
    Judge("favours one by 0.2", bias=0.2, favourite=FAVOURITE),
)
BOTH: Final = ((1_000, Judge("flips 20 %", flips=0.2)),)
"""Delays and judges that come together."""


def _judge(runs: Runs) -> str:
    """Name the judge, and the delay where there is one too."""
    judge, delay = runs[0]["judge"], runs[0]["delay"]
    return f"{judge}, {delay:,} late" if delay else str(judge)


class Feedback(Study):
    """Late rewards and costs, judges that err, and both."""

    name = "feedback"
    title = "Late and wrong feedback"
    question = "What do late and wrong rewards cost, in reward and in money?"

    parts = (
        Part(
            "b = {budget:g}", by=("budget",),
            shows=(
                TableOf(
                    "Late feedback, {part}",
                    rows=("delay",),
                    columns=(
                        Column("delay, queries", key("delay", ",")), Each("who", REGRET_COLUMNS),
                    ),
                    where={"judge": EXACT},
                    note=REGRET_NOTE,
                ),
                TableOf(
                    "Judges that err, {part}",
                    rows=("delay", "judge"),
                    columns=(Column("judge", _judge), Each("who", REGRET_COLUMNS)),
                    where=lambda run: run["judge"] != EXACT or run["delay"] == 0,
                    note=REGRET_NOTE,
                ),
                LinesOf(
                    "Regret over delay, {part}", "queries until feedback comes", "regret, %",
                    (Curves(band(regret), "who"),),
                    over="delay", where={"judge": EXACT}, log_x=True,
                ),
                LinesOf(
                    "Early spend over delay, {part}", "queries until feedback comes",
                    "spend over the first 1,000 queries / b",
                    (Curves(band("early_spend"), "who"),),
                    over="delay", where={"judge": EXACT}, log_x=True, level=1.0,
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
            policies=("stageroute", "thompson", "linucb", "bwk"),
            seeds=tuple(range(12)),
        )

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every policy under every delay and every judge, on the streams of every seed."""
        return [
            episode(
                settings, policy, replace(settings.at_budget(budget), reward_prior=prior), seed,
                (("delay", delay), ("judge", judge.label), ("who", who)),
                workload=_workload(settings.workload, delay, judge),
            )
            for seed in settings.seeds
            for delay, judge in _cells(is_small=settings.is_small)
            for budget in settings.budgets
            for who, policy, prior in _contestants(settings)
        ]  # fmt: skip


def _contestants(settings: StudySettings) -> list[tuple[str, str, RewardPrior | None]]:
    """Return the policies, and StageRoute once more with scores: label, policy, prior."""
    plain: list[tuple[str, str, RewardPrior | None]] = [
        (who, who, None) for who in settings.policies
    ]
    return [*plain, (TOLD, OURS, SCORES)] if OURS in settings.policies else plain


def _workload(base: Workload, delay: int, judge: Judge) -> Workload:
    judged = judge.over(base)
    return Delayed(judged, delay) if delay else judged


def _cells(*, is_small: bool) -> list[tuple[int, Judge]]:
    delays, judges = (DELAYS[::2], JUDGES[::3]) if is_small else (DELAYS, JUDGES)
    return [
        *((delay, JUDGES[0]) for delay in delays),
        *((0, judge) for judge in judges if judge.label != EXACT),
        *BOTH,
    ]
