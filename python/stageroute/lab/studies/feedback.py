"""Feedback that is late, or comes from a judge that errs."""

from dataclasses import dataclass, replace
from typing import Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import column
from stageroute.lab.episodes import Episode, Record
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.parts import (
    REGRET_COLUMNS,
    REGRET_NOTE,
    curve,
    episode,
    mean_regret,
    mean_spend,
    regret_cells,
)
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Figure, LineFigure, Summary, Table
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


class Feedback(Study):
    """Late rewards and costs, judges that err, and both."""

    name = "feedback"
    question = "What do late and wrong rewards cost, in reward and in money?"

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

    def summarise(self, results: StudyResults) -> Summary:
        """Tell what delays cost, and what judges do."""
        budgets = results.distinct("budget")
        findings = [
            text
            for budget in budgets
            for text in (_delay_finding(results, budget), _judge_finding(results, budget))
        ]
        first, *others = (table for budget in budgets for table in _tables(results, budget))
        return Summary(
            title="Late and wrong feedback",
            question=self.question,
            findings=tuple(findings),
            tables=(replace(first, note=REGRET_NOTE), *others),
            figures=tuple(figure for budget in budgets for figure in _figures(results, budget)),
        )


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


def _delays(results: StudyResults) -> list[int]:
    """Return the delays that were run with an exact judge."""
    delays: list[int] = results.distinct("delay")
    return sorted(delay for delay in delays if results.of(delay=delay, judge=EXACT))


def _by_delay(results: StudyResults, budget: float, who: str) -> list[list[Record]]:
    return [
        results.of(budget=budget, who=who, delay=delay, judge=EXACT) for delay in _delays(results)
    ]


def _tables(results: StudyResults, budget: float) -> list[Table]:
    everyone = results.distinct("who")
    heads = (("", 1), *((who, 3) for who in everyone))
    delays = [(f"{delay:,}", delay, EXACT) for delay in _delays(results)]
    judges = [(judge, 0, judge) for judge in results.distinct("judge") if judge != EXACT]
    together = [
        (f"{judge}, {delay:,} late", delay, judge)
        for delay in results.distinct("delay")
        for judge in results.distinct("judge")
        if delay and judge != EXACT
    ]
    part = f"b = {budget:g}"
    return [
        Table(
            f"{title}, {part}",
            (column_name, *REGRET_COLUMNS * len(everyone)),
            tuple(
                (label, *_cells_of(results, budget, delay, judge))
                for label, delay, judge in rows
                if results.of(budget=budget, delay=delay, judge=judge)
            ),
            heads=heads,
            part=part,
        )
        for title, column_name, rows in (
            ("Late feedback", "delay, queries", delays),
            ("Judges that err", "judge", [(EXACT, 0, EXACT), *judges, *together]),
        )
    ]


def _cells_of(results: StudyResults, budget: float, delay: int, judge: str) -> list[str]:
    return [
        cell
        for who in results.distinct("who")
        for cell in regret_cells(results.of(budget=budget, who=who, delay=delay, judge=judge))
    ]


def _delay_finding(results: StudyResults, budget: float) -> str:
    """Say what the longest delay adds for each policy, and whether the spend is kept."""
    longest = _delays(results)[-1]
    texts = []
    for who in results.distinct("who"):
        groups = _by_delay(results, budget, who)
        spend = max(mean_spend(records) for records in groups)
        texts.append(
            f"{who} {mean_regret(groups[0]):.2%} and {mean_regret(groups[-1]):.2%} "
            f"(largest mean spend {spend:.3f} b)"
        )
    return f"b = {budget:g}: regret with feedback at once and {longest:,} queries late: " + (
        f"{'; '.join(texts)}."
    )


def _judge_finding(results: StudyResults, budget: float) -> str:
    """Say which judge does most harm to each policy."""
    judges = results.distinct("judge")
    texts = []
    for who in results.distinct("who"):
        regret = {
            judge: mean_regret(results.of(budget=budget, who=who, delay=0, judge=judge))
            for judge in judges
            if results.of(budget=budget, who=who, delay=0, judge=judge)
        }
        worst = max(regret.keys() - {EXACT}, key=lambda judge: (regret[judge], judge))
        texts.append(f"{who} from {regret[EXACT]:.2%} to {regret[worst]:.2%} ({worst})")
    return f"b = {budget:g}: what judges that err do at most: {'; '.join(texts)}."


def _figures(results: StudyResults, budget: float) -> list[Figure]:
    delays = _delays(results)
    everyone = results.distinct("who")
    part = f"b = {budget:g}"
    groups = {who: _by_delay(results, budget, who) for who in everyone}
    return [
        LineFigure(
            f"Regret over delay, {part}", "queries until feedback comes", "regret, %",
            tuple(curve(who, delays, groups[who]) for who in everyone),
            log_x=True, part=part,
        ),
        LineFigure(
            f"Early spend over delay, {part}", "queries until feedback comes",
            "spend over the first 1,000 queries / b",
            tuple(
                curve(who, delays, groups[who], lambda found: column(found, "early_spend"))
                for who in everyone
            ),
            log_x=True, level=1.0, part=part,
        ),
    ]  # fmt: skip
