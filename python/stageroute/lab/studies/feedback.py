"""Feedback that is late, or comes from a judge that errs."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import REGRET_COLUMNS, REGRET_NOTE, band, key, regret
from stageroute.lab.declared import Curves, Each, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Runs
from stageroute.lab.study import Study, StudySettings
from stageroute.policies import RewardPrior
from stageroute.workloads import BuiltIn, Delayed, Noisy

DELAYS: Final = (0, 50, 200, 1_000, 5_000)
"""In queries."""

OURS: Final = "stageroute"
SCORES: Final = RewardPrior("scores", error=0.05, weight=100)
"""What StageRoute is told in the second of its two entries."""

EXACT: Final = "exact"
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


LATE: Final = TableOf(
    "Late feedback, {part}", ("delay",),
    {"delay, queries": key("delay", ","), "": Each("who", REGRET_COLUMNS)},
    REGRET_NOTE, where={"judge": EXACT},
)  # fmt: skip

WRONG: Final = TableOf(
    "Judges that err, {part}", ("delay", "judge"),
    {"judge": _judge, "": Each("who", REGRET_COLUMNS)},
    REGRET_NOTE, where=lambda run: run["judge"] != EXACT or run["delay"] == 0,
)  # fmt: skip

OVER_DELAY: Final = LinesOf(
    "Regret over delay, {part}", "queries until feedback comes", "regret, %",
    (Curves(band(regret), "who"),), over="delay", where={"judge": EXACT}, log_x=True,
)  # fmt: skip

EARLY: Final = LinesOf(
    "Early spend over delay, {part}", "queries until feedback comes",
    "spend over the first 1,000 queries / b", (Curves(band("early_spend"), "who"),),
    over="delay", where={"judge": EXACT}, log_x=True, level=1.0,
)  # fmt: skip


def _every_feedback(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every policy under every delay and every judge."""
    delays, judges = [*DELAYS], [*JUDGES]
    if settings.is_small:
        delays, judges = delays[::2], judges[::3]
    late = [(delay, EXACT) for delay in delays]
    wrong = [(0, judge) for judge in judges if judge != EXACT]
    for delay, judge in (*late, *wrong, (1_000, FLIPS)):
        workload = base.workload
        if judge != EXACT:
            workload = Noisy(workload, **{"noise": 0.0, **JUDGES[judge]})
        heard = base.but(
            {"delay": delay, "judge": judge},
            workload=Delayed(workload, delay) if delay else workload,
        )
        for policy in settings.policies:
            yield heard.but({"who": policy}, policy=policy)
        if OURS in settings.policies:
            yield heard.but({"who": f"{OURS} with scores"}, policy=OURS, reward_prior=SCORES)


STUDY: Final = Study(
    "feedback", "Late and wrong feedback",
    "What do late and wrong rewards cost, in reward and in money?",
    (Part("b = {budget:g}", (LATE, WRONG, OVER_DELAY, EARLY), by=("budget",)),),
    StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), budgets=(0.0003, 0.001),
        policies=(OURS, "thompson", "linucb", "bwk"), seeds=tuple(range(12)),
    ),
    _every_feedback,
)  # fmt: skip
