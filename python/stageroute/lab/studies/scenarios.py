"""Feedback as it really comes: late, sparse, missing, repeated, from a world that changes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Final

from stageroute.checks import require_one_of
from stageroute.config.settings import ChangeTest, Drift
from stageroute.lab.columns import RUNNING_COLUMNS, column, lp_share, mean, quantiles, worst
from stageroute.lab.declared import Cell, Columns, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Run, Runs
from stageroute.lab.study import Study, StudySettings, every_policy
from stageroute.policies import RewardPrior
from stageroute.workloads import (
    Change,
    Changing,
    Delayed,
    PriceCut,
    Repeated,
    SilentRegression,
    Sparse,
    Workload,
)

DRIFT: Final = Drift(change_test=ChangeTest())
"""What is recommended where models may change without notice: costs nothing where they do not. It
finds what gets worse or cheaper as long as that model is visited; for idle models that get better,
add ``forget_per_stage``, which does cost something."""

WITHOUT_PRIORS: Final = ("paretobandit", "paretobandit-tasks", "paretobandit-all")
"""Policies that cannot be told mean rewards: these take them from a file of labelled prompts."""

KNOWN: Final = RewardPrior("scores", error=0.0)
"""Mean rewards that are known beforehand."""


REGRESSION: Final = partial(SilentRegression, 0.5)
PRICE_CUT: Final = partial(PriceCut, 0.1)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which feedback comes and the world changes."""

    title: str  # what reports say of it
    over: Callable[[Workload], Workload] = lambda base: base
    change: Callable[..., Change] | None = None  # from the budget: it says what is affordable
    is_announced: bool = False
    handles_drift: bool = False  # whether the router is set up for change
    knows_quality: bool = False  # whether mean rewards are known beforehand
    spend_goal: float | None = None  # the most that a seed's spend / b at the end may be


SCENARIOS: Final = MappingProxyType(
    {
        "immediate": Scenario("at once", spend_goal=1.005),
        "immediate_drift": Scenario("at once, Drift on", handles_drift=True),
        "delayed": Scenario(
            "all 200 queries late", partial(Delayed, queries=200), spend_goal=1.01
        ),
        "some_rewards": Scenario("rewards for 10 %", partial(Sparse, share=0.1), spend_goal=1.01),
        "no_rewards": Scenario("no rewards", partial(Sparse, share=0.0), spend_goal=1.01),
        "no_rewards_known_quality": Scenario(
            "no rewards, means known", partial(Sparse, share=0.0), knows_quality=True,
            spend_goal=1.01,
        ),
        "delayed_costs": Scenario(
            "costs 200 queries late", partial(Delayed, queries=200, what="costs"), spend_goal=1.01
        ),
        "twice_shuffled": Scenario(
            "twice, shuffled", partial(Repeated, copies=2, window=200), spend_goal=1.01
        ),
        "regression": Scenario("regression", change=REGRESSION),
        "regression_drift": Scenario(
            "regression, Drift on", change=REGRESSION, handles_drift=True
        ),
        "price_cut": Scenario("price cut", change=PRICE_CUT),
        "price_cut_drift": Scenario("price cut, Drift on", change=PRICE_CUT, handles_drift=True),
        "price_cut_announced": Scenario(
            "price cut, announced", change=PRICE_CUT, is_announced=True
        ),
    }
)  # fmt: skip
"""Each scenario by name."""


@dataclass(frozen=True, slots=True)
class ScenarioSettings(StudySettings):
    """What scenarios run under: settings of a study, and names in `SCENARIOS`."""

    scenarios: tuple[str, ...] = tuple(SCENARIOS)

    def __post_init__(self) -> None:
        super(ScenarioSettings, self).__post_init__()
        for name in self.scenarios:
            require_one_of("scenarios", name, tuple(SCENARIOS))


NOTE: Final = """\
regret      expected reward lost against the stage oracle, as a share of its reward: median over
            seeds, 90th percentile, worst seed; below 0: more than the oracle, whose budget does not
            carry over and whose traffic and live set are limited
spend / b   at the end, as a multiple of the budget: mean over seeds, and worst seed; the goal is
            for the worst seed
running     largest spend / b at any time after query 1,000: median over seeds, and worst seed
after       the same from the change in the middle of the stream on
decisions   from an optimal LP; throttled: served by the cheapest mixture until earlier overspend
            was corrected; infeasible: no live mixture met budget and caps
feedback    counted, refused because it had come before, and lost: unknown, expired or evicted;
            mean over seeds"""


def _title(runs: Runs) -> str:
    title = SCENARIOS[runs[0]["scenario"]].title
    return title if runs[0]["policy"] == "stageroute" else f"  {runs[0]['policy']}"


def _goal(runs: Runs) -> str:
    """Say whether the spend of every seed keeps to its goal."""
    goal = SCENARIOS[runs[0]["scenario"]].spend_goal
    if goal is None:
        return "-"
    return f"{goal:g} {'met' if column(runs, 'spend').max() <= goal else 'MISSED'}"


def _feedback(*names: str) -> Callable[[Run], float]:
    """Return what gives the sum of counters of feedback; NaN for a policy that keeps none."""

    def counted(run: Run) -> float:
        counts = json.loads(run.record.feedback_counts)
        return float(sum(counts[name] for name in names)) if counts else float("nan")

    return counted


def _regret(name: str) -> dict[str, Cell]:
    return quantiles(lambda run: 100.0 * float(run[name]))


def _spend(name: str) -> dict[str, Cell]:
    return {"mean": mean(name, ".4f"), "worst": worst(name, ".4f")}


COLUMNS: Final[Columns] = {
    "{part}": _title,
    "regret, %": _regret("regret"),
    "spend / b": {**_spend("spend"), "goal": _goal},
    "running": RUNNING_COLUMNS,
}


FEEDBACK: Final = TableOf(
    "Feedback", ("scenario", "policy"),
    {
        **COLUMNS,
        "decisions, %": {
            "optimal": mean(lp_share("optimal")),
            "throttled": mean(lp_share("throttled")),
            "infeasible": mean(lp_share("budget_infeasible", "cap_infeasible")),
        },
        "feedback": {
            "rewards": mean(_feedback("rewards"), ",.0f"),
            "costs": mean(_feedback("costs"), ",.0f"),
            "repeated": mean(_feedback("repeated"), ",.0f"),
            "lost": mean(_feedback("unknown", "expired", "evicted"), ",.0f"),
        },
    },
    where=lambda run: not run.record.changed, note=NOTE,
)  # fmt: skip

CHANGES: Final = TableOf(
    "Models that change", ("scenario", "policy"),
    {
        **COLUMNS,
        "after: regret, %": _regret("regret_after"),
        "after: spend / b": _spend("spend_after"),
        "model": lambda runs: ", ".join(runs[0].record.changed),
    },
    where=lambda run: bool(run.record.changed), note=NOTE,
)  # fmt: skip


def _every_scenario(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every policy in every scenario, but for policies that cannot be told what is known."""
    assert isinstance(settings, ScenarioSettings)
    for name in settings.scenarios:
        scenario, limits = SCENARIOS[name], base.limits
        if not scenario.handles_drift:
            limits = replace(limits, drift=Drift())
        if scenario.knows_quality:
            limits = replace(limits, reward_prior=KNOWN)
        workload = scenario.over(base.workload)
        if scenario.change is not None:
            change = scenario.change(budget=limits.budget)
            workload = Changing(workload, change, is_announced=scenario.is_announced)
        told = base.but({"scenario": name}, workload=workload, limits=limits)
        for episode in every_policy(told, settings):
            if not (scenario.knows_quality and episode.policy in WITHOUT_PRIORS):
                yield episode


STUDY: Final = Study(
    "scenarios", "Scenarios",
    "Does the spend hold however feedback comes and the world changes; what is lost?",
    (Part("b = {budget:g}", (FEEDBACK, CHANGES), by=("budget",)),),
    # The drift is for the scenarios that handle it.
    ScenarioSettings(limits=replace(StudySettings().limits, drift=DRIFT)), _every_scenario,
)  # fmt: skip
