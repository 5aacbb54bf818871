"""Three checks: spend in every stage, robustness to initialisation, throughput caps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import band, cell, interval, key, mean, median, regret, stages, worst
from stageroute.lab.declared import Cell, Curves, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.intervals import Floats
from stageroute.lab.runs import Run, Runs
from stageroute.lab.shares import share_at_caps
from stageroute.lab.studies.episode import changed, episode
from stageroute.lab.study import Study, StudySettings
from stageroute.policies.ours.stageroute import as_published
from stageroute.workloads import BuiltIn

__all__ = ["Checks"]

SPEND, START, CAPS = ("check", "spend"), ("check", "start"), ("check", "caps")
"""Parts of an episode's cell."""

PUBLISHED: Final = "stageroute-published"

CHANCE: Final = "oracle"
"""Keeps to budget and caps in expectation: where it exceeds them, chance does."""

UNCHANGED: Final = "as it is"

AT_CAP: Final = 0.95
"""A model whose share of a stage is this part of its cap counts as being at its cap."""

QUANTILES: Final = np.linspace(0.0, 1.0, 101)


STARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    UNCHANGED: {},
    "reward bound 0.75": {"initial_reward_ucb": 0.75},
    "reward bound 0.5": {"initial_reward_ucb": 0.5},
    "cost bound b / 2": {"initial_cost_lcb": 0.5},
    "cost bound b": {"initial_cost_lcb": 1.0},
    "no forced visits": {"min_visits": 0},
    "5 forced visits": {"min_visits": 5},
    "20 forced visits": {"min_visits": 20},
    "100 forced visits": {"min_visits": 100},
    "prices unknown": {"use_prices": False},
    "prices known": {"use_prices": True},
}
"""What is believed of a model that was not tried yet; bounds on its cost in units of b."""

EQUAL_CAPS: Final = (0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
MIXED_CAPS: Final = ((0.2, 0.4, 0.6), (1.0, 0.5, 0.25))
"""Given to the models in turn, in order of arrival."""


def _violations(runs: Runs) -> Floats:
    """Return spend / b - 1, at least 0, of every stage of every run."""
    return np.concatenate([run.record.stage_violation for run in runs])


def _by_stage(run: Run) -> Floats:
    """Return the violation of every stage, %."""
    return 100 * np.array(run.record.stage_violation)


def _spread(runs: Runs) -> Floats:
    """Return quantiles of the violation over all stages and seeds, %."""
    return np.quantile(100 * _violations(runs), QUANTILES)


def _share_above(threshold: float) -> Cell:
    return cell(lambda runs: float(np.mean(_violations(runs) > threshold)), ".0%")


def _violation(share: float) -> Cell:
    return cell(lambda runs: float(np.quantile(_violations(runs), share)), ".1%")


def _at_caps(runs: Runs) -> str:
    if not runs[0].record.models:
        return "-"
    return mean(lambda run: share_at_caps(run, AT_CAP), ".0%")(runs)


class Checks(Study):
    """Budget violation per stage, initialisation, and throughput caps, each on its own."""

    name = "checks"
    title = "Checks"
    question = (
        "Does spend keep to the budget in every stage, how much does the start matter, and what "
        "do throughput caps cost?"
    )
    full = StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), policies=("stageroute", PUBLISHED)
    )

    spend = TableOf(
        "{part}", ("policy",),
        {
            "policy": key("policy"),
            "stages": {"over b": _share_above(0.0), "by > 5 %": _share_above(0.05)},
            "violation": {
                "median": _violation(0.5),
                "p90": _violation(0.9),
                "p99": _violation(0.99),
                "largest": _violation(1.0),
                "first stage": mean(lambda run: run.record.stage_violation[0], ".1%"),
            },
            "spend / b": {
                "running, worst": worst("worst_running_spend", ".3f"),
                "mean": interval("spend", 3),
                "worst": worst("spend", ".3f"),
            },
        },
        "Violation: a stage's mean spend / b - 1, at least 0, over all stages and seeds. A stage "
        "may spend what earlier ones saved, so violations are not overspending by themselves; the "
        "spend so far is (running: its largest value from query 1,000 on), and the whole spend. "
        "What the oracle shows is chance: it keeps to b in expectation.",
    )  # fmt: skip
    by_stage = LinesOf(
        "{part}: mean violation", "stage", "violation of b, %",
        (Curves(band(_by_stage), "policy"),),
        x=stages,
        note="Mean over the seeds; stages that spend less than b count as 0.",
    )  # fmt: skip
    spread = LinesOf(
        "{part}: how large", "% of the stages", "violation of b, %", (Curves(_spread, "policy"),),
        x=lambda _: 100 * QUANTILES, log_y=True,
        note="The share of the stages that violate b by no more than that; logarithmic but about "
        "0. What the oracle shows is chance.",
    )  # fmt: skip
    starts = TableOf(
        "{part}, {who}", ("start",),
        {
            "start": key("start"),
            "regret %": {
                "mean": interval(regret), "median": median(regret), "worst": worst(regret),
            },
            "early spend / b": {"mean": interval("early_spend"), "worst": worst("early_spend")},
            "spend / b": {"whole": mean("spend", ".3f")},
        },
        "Regret in % against the stage oracle, with what was spent beyond b T charged at the "
        "oracle's price. Early: spend over the first 1,000 queries.",
    )  # fmt: skip
    caps = TableOf(
        "Throughput caps", ("caps", "policy"),
        {
            "α": key("caps"),
            "policy": key("policy"),
            "oracle": mean("oracle_reward", ".4f"),
            "regret %": interval(regret),
            "at caps": _at_caps,
            "largest excess": {"probability": worst("largest_probability_excess", "+.1e")},
            "share's excess": {
                "mean": mean("largest_cap_excess", "+.3f"),
                "worst": worst("largest_cap_excess", "+.3f"),
            },
        },
        f"At caps: queries served by models whose share of the stage is at least {AT_CAP:.0%} of "
        "their cap. Probability: the largest with which a model was drawn, less its cap. Share: "
        "the largest share over 1,000 queries less the cap, over all models and windows; the "
        "oracle's is what chance does.",
    )  # fmt: skip
    over_caps = LinesOf(
        "Reward over throughput caps", "α, the same for all models", "mean reward",
        (Curves(band("reward"), "policy"),), over=lambda run: float(run["caps"]),
        where=lambda run: " " not in run["caps"],
        note="What the oracle loses towards the left is the price of the caps; the distance to it "
        "is regret. Overspending is not charged here.",
    )  # fmt: skip
    parts = (
        Part(
            "Spend per stage, b = {budget:g}", (spend, by_stage, spread), by=("budget",),
            where=dict([SPEND]),
        ),
        Part("Start, b = {budget:g}", (starts,), by=("budget", "who"), where=dict([START])),
        Part("Throughput caps", (caps, over_caps), where=dict([CAPS])),
    )  # fmt: skip

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return the episodes of the three checks, seed by seed."""
        caps = _all_caps(settings)
        starts = [*STARTS][::5] if settings.is_small else STARTS
        policies = tuple(dict.fromkeys((*settings.policies, CHANCE)))
        return [
            found
            for seed in settings.seeds
            for found in [
                *(
                    episode(settings, policy, settings.at_budget(budget), seed, (SPEND,))
                    for budget in settings.budgets
                    for policy in policies
                ),
                *(
                    _started(settings, policy, budget, start, seed)
                    for budget in settings.budgets
                    for policy in settings.policies
                    for start in starts
                ),
                *(
                    episode(
                        settings, policy, replace(settings.limits, throughput_cap=cap), seed,
                        (CAPS, ("caps", label)),
                    )
                    for label, cap in caps.items()
                    for policy in policies
                ),
            ]
        ]  # fmt: skip


def _started(settings: StudySettings, policy: str, budget: float, start: str, seed: int) -> Episode:
    limits, changes = settings.at_budget(budget), dict(STARTS[start])
    cell = (START, ("who", policy), ("start", start))
    if policy == PUBLISHED:
        # What is published fixes the start as well: with another one it is StageRoute so set.
        policy, limits = "stageroute", as_published(limits)
    if "initial_cost_lcb" in changes:
        changes["initial_cost_lcb"] *= budget
    return episode(settings, policy, changed(limits, **changes), seed, cell)


def _all_caps(settings: StudySettings) -> dict[str, float | tuple[float, ...]]:
    step = 3 if settings.is_small else 1
    num_models = settings.workload.stream(1, 0).table.num_models
    caps: dict[str, float | tuple[float, ...]] = {f"{cap:g}": cap for cap in EQUAL_CAPS[::step]}
    for cycle in MIXED_CAPS[::step]:
        label = ", ".join(f"{cap:g}" for cap in cycle) + " in turn"
        caps[label] = tuple(cycle[arm % len(cycle)] for arm in range(num_models))
    return caps
