"""Feedback as it really comes: late, sparse, missing, repeated, from a world that changes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np

from stageroute.checks import require_one_of
from stageroute.config.settings import ChangeTest, Drift
from stageroute.lab.columns import column, mean, median, quantile, worst
from stageroute.lab.declared import Cell, Columns, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.runs import Run, Runs
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings
from stageroute.policies import RewardPrior
from stageroute.workloads import Changing, Delayed, PriceCut, Repeated, SilentRegression, Sparse
from stageroute.workloads.base import Workload

__all__ = ["DRIFT", "SCENARIOS", "Scenario", "ScenarioSettings", "Scenarios"]

DRIFT: Final = Drift(change_test=ChangeTest())
"""What is recommended where models may change without notice: costs nothing where they do not. It
finds what gets worse or cheaper as long as that model is visited; for idle models that get better,
add ``forget_per_stage``, which does cost something."""

WITHOUT_PRIORS: Final = ("paretobandit", "paretobandit-tasks", "paretobandit-all")
"""Policies that cannot be told mean rewards: these take them from a file of labelled prompts."""

KNOWN: Final = RewardPrior("scores", error=0.0)
"""Mean rewards that are known beforehand."""


def _as_it_is(base: Workload, _budget: float) -> Workload:
    return base


def _regression(base: Workload, budget: float) -> Workload:
    return Changing(base, SilentRegression(0.5, budget=budget))


def _price_cut(base: Workload, budget: float) -> Workload:
    return Changing(base, PriceCut(0.1, budget=budget))


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which feedback comes and the world changes.

    Attributes
    ----------
    title : str
        What reports say of it.
    over : callable
        Makes the workload of it, given the base and the budget, which decides
        which models are affordable.
    handles_drift : bool
        Whether the router is set up for change.
    knows_quality : bool
        Whether mean rewards are known beforehand.
    spend_goal : float or None
        The most that a seed's spend / b at the end may be.
    """

    title: str
    over: Callable[[Workload, float], Workload] = _as_it_is
    handles_drift: bool = False
    knows_quality: bool = False
    spend_goal: float | None = None


SCENARIOS: Final = MappingProxyType(
    {
        "immediate": Scenario("at once", spend_goal=1.005),
        "immediate_drift": Scenario("at once, Drift on", handles_drift=True),
        "delayed": Scenario(
            "all 200 queries late", lambda base, _: Delayed(base, 200), spend_goal=1.01
        ),
        "some_rewards": Scenario(
            "rewards for 10 %", lambda base, _: Sparse(base, 0.1), spend_goal=1.01
        ),
        "no_rewards": Scenario("no rewards", lambda base, _: Sparse(base, 0.0), spend_goal=1.01),
        "no_rewards_known_quality": Scenario(
            "no rewards, means known", lambda base, _: Sparse(base, 0.0), knows_quality=True,
            spend_goal=1.01,
        ),
        "delayed_costs": Scenario(
            "costs 200 queries late", lambda base, _: Delayed(base, 200, "costs"), spend_goal=1.01
        ),
        "twice_shuffled": Scenario(
            "twice, shuffled", lambda base, _: Repeated(base, 2, 200), spend_goal=1.01
        ),
        "regression": Scenario("regression", _regression),
        "regression_drift": Scenario("regression, Drift on", _regression, handles_drift=True),
        "price_cut": Scenario("price cut", _price_cut),
        "price_cut_drift": Scenario("price cut, Drift on", _price_cut, handles_drift=True),
        "price_cut_announced": Scenario(
            "price cut, announced",
            lambda base, budget: Changing(base, PriceCut(0.1, budget=budget), is_announced=True),
        ),
    }
)  # fmt: skip
"""Each scenario by name."""


@dataclass(frozen=True, slots=True)
class ScenarioSettings(StudySettings):
    """What scenarios run under: settings of a study, and which.

    Parameters
    ----------
    scenarios : tuple of str
        Names in `SCENARIOS`.
    """

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


def _decisions(*statuses: str) -> Callable[[Runs], str]:
    """Return what shows the share of LPs of these statuses, over all seeds, in percent."""

    def show(runs: Runs) -> str:
        counts = [run.record.lp_status_counts for run in runs]
        if not counts[0]:
            return "-"
        chosen = sum(count[status] for count in counts for status in statuses)
        return f"{100 * chosen / sum(sum(count.values()) for count in counts):.2f}"

    return show


def _feedback(*names: str) -> Callable[[Runs], str]:
    """Return what shows counters of feedback, mean over seeds."""

    def show(runs: Runs) -> str:
        counts = [json.loads(run.record.feedback_counts) for run in runs]
        if not counts[0]:
            return "-"
        return f"{np.mean([sum(count[name] for name in names) for count in counts]):,.0f}"

    return show


def _percent(name: str) -> Callable[[Run], float]:
    return lambda run: 100.0 * float(run[name])


def _regret(name: str) -> dict[str, Cell]:
    of = _percent(name)
    return {"median": median(of), "p90": quantile(of, 0.9), "worst": worst(of)}


def _spend(name: str) -> dict[str, Cell]:
    return {"mean": mean(name, ".4f"), "worst": worst(name, ".4f")}


COLUMNS: Final[Columns] = {
    "{part}": _title,
    "regret, %": _regret("regret"),
    "spend / b": {**_spend("spend"), "goal": _goal},
    "running": {
        "median": median("worst_running_spend", ".3f"),
        "worst": worst("worst_running_spend", ".3f"),
    },
}


class Scenarios(Study):
    """StageRoute under every kind of feedback and change."""

    name = "scenarios"
    title = "Scenarios"
    question = "Does the spend hold however feedback comes and the world changes; what is lost?"
    full = ScenarioSettings(limits=replace(StudySettings().limits, drift=DRIFT))
    """The drift is for the scenarios that handle it."""

    feedback = TableOf(
        "Feedback", ("scenario", "policy"),
        {
            **COLUMNS,
            "decisions, %": {
                "optimal": _decisions("optimal"),
                "throttled": _decisions("throttled"),
                "infeasible": _decisions("budget_infeasible", "cap_infeasible"),
            },
            "feedback": {
                "rewards": _feedback("rewards"),
                "costs": _feedback("costs"),
                "repeated": _feedback("repeated"),
                "lost": _feedback("unknown", "expired", "evicted"),
            },
        },
        where=lambda run: not run.record.changed, note=NOTE,
    )  # fmt: skip
    changes = TableOf(
        "Models that change", ("scenario", "policy"),
        {
            **COLUMNS,
            "after: regret, %": _regret("regret_after"),
            "after: spend / b": _spend("spend_after"),
            "model": lambda runs: ", ".join(runs[0].record.changed),
        },
        where=lambda run: bool(run.record.changed), note=NOTE,
    )  # fmt: skip
    parts = (Part("b = {budget:g}", (feedback, changes), by=("budget",)),)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every policy in every scenario at every budget on the stream of every seed."""
        assert isinstance(settings, ScenarioSettings)
        return [
            self._episode(settings, policy, name, budget, seed)
            for seed in settings.seeds
            for budget in settings.budgets
            for name in settings.scenarios
            for policy in settings.policies
            if not (SCENARIOS[name].knows_quality and policy in WITHOUT_PRIORS)
        ]

    @staticmethod
    def _episode(
        settings: StudySettings, policy: str, name: str, budget: float, seed: int
    ) -> Episode:
        scenario, limits = SCENARIOS[name], settings.at_budget(budget)
        if not scenario.handles_drift:
            limits = replace(limits, drift=Drift())
        if scenario.knows_quality:
            limits = replace(limits, reward_prior=KNOWN)
        workload = scenario.over(settings.workload, budget)
        return episode(settings, policy, limits, seed, (("scenario", name),), workload=workload)
