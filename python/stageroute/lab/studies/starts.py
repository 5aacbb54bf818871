"""What starting models costs, weighed and not weighed."""

from dataclasses import dataclass, replace
from typing import Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import column
from stageroute.lab.episodes import Episode, Record
from stageroute.lab.intervals import mean_interval
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
from stageroute.lab.summary import Curve, Figure, LineFigure, Summary, Table
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
    question = "What does it bring to weigh what starting a model costs?"

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

    def summarise(self, results: StudyResults) -> Summary:
        """Tell what weighing start costs brings."""
        budgets = results.distinct("budget")
        first, *others = (_table(results, budget) for budget in budgets)
        return Summary(
            title="Start costs",
            question=self.question,
            findings=tuple(text for budget in budgets for text in _findings(results, budget)),
            tables=(replace(first, note=NOTE), *others),
            figures=tuple(figure for budget in budgets for figure in _figures(results, budget)),
        )


def _of(results: StudyResults, budget: float, level: float, who: str) -> list[Record]:
    return results.of(budget=budget, level=level, who=who)


def _table(results: StudyResults, budget: float) -> Table:
    rows = []
    for level in results.distinct("level"):
        for who in results.distinct("who"):
            records = _of(results, budget, level, who)
            starts = mean_interval(column(records, "starts")).text(1)
            paid = f"{column(records, 'start_spend').mean():.3f}"
            rows.append((who, f"{level:g}", *regret_cells(records), starts, paid))
    columns = ("policy", "start / (b T / K)", *REGRET_COLUMNS, "starts", "of spend")
    part = f"b = {budget:g}"
    return Table(f"Start costs, {part}", columns, tuple(rows), part=part)


def _findings(results: StudyResults, budget: float) -> list[str]:
    labels = results.distinct("who")
    texts = []
    for level in results.distinct("level"):
        if level == 0.0:
            continue
        regret = {who: mean_regret(_of(results, budget, level, who)) for who in labels}
        learning = [who for who in labels if not who.startswith(ORACLE)]
        best = min(learning, key=lambda who: regret[who])
        said = [
            f"{who} {regret[who]:.2%} at {mean_spend(_of(results, budget, level, who)):.3f} b"
            for who in labels
        ]
        texts.append(
            f"b = {budget:g}, a start costs {level:g} of what a stage may spend: "
            f"{', '.join(said)}; the least regret of those that learn is that of {best}."
        )
    return texts


def _figures(results: StudyResults, budget: float) -> list[Figure]:
    part, labels = f"b = {budget:g}", results.distinct("who")
    levels = sorted(results.distinct("level"))
    groups = {who: [_of(results, budget, level, who) for level in levels] for who in labels}
    return [
        LineFigure(
            f"Regret over start costs, {part}", "a start / (b T / K)", "regret, %",
            tuple(curve(who, levels, groups[who]) for who in labels), log_x=True, log_y=True,
            part=part,
        ),
        LineFigure(
            f"Starts and regret, {part}", "starts", "regret, %",
            tuple(_trade_off(who, groups[who]) for who in labels), log_y=True, part=part,
            note="Each line goes from the dearest starts to free ones.",
        ),
    ]  # fmt: skip


def _trade_off(who: str, groups: list[list[Record]]) -> Curve:
    dearest_first = groups[::-1]
    starts = [float(column(records, "starts").mean()) for records in dearest_first]
    return curve(who, starts, dearest_first)
