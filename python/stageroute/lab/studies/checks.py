"""Three checks: spend in every stage, robustness to initialisation, throughput caps."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import band, interval, key, mean, median, quantile, regret, worst
from stageroute.lab.declared import Cell, Curves, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Runs
from stageroute.lab.shares import share_at_caps
from stageroute.lab.statistics import Floats
from stageroute.lab.study import Study, StudySettings
from stageroute.policies.ours.stageroute import as_published
from stageroute.workloads import BuiltIn

SPEND, START, CAPS = ({"check": check} for check in ("spend", "start", "caps"))
"""The checks, as parts of an episode's cell."""

PUBLISHED: Final = "stageroute-published"

CHANCE: Final = "oracle"
"""Keeps to budget and caps in expectation: where it exceeds them, chance does."""

AT_CAP: Final = 0.95
"""A model whose share of a stage is this part of its cap counts as being at its cap."""

QUANTILES: Final = np.linspace(0.0, 1.0, 101)

STARTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "as it is": {},
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


VIOLATION: Final = "stage_violation"
"""Spend / b - 1, at least 0, of every stage of a run."""


def _spread(runs: Runs) -> Floats:
    """Return quantiles of the violation over all stages and seeds, %."""
    return np.asarray(np.quantile([100 * np.array(run[VIOLATION]) for run in runs], QUANTILES))


def _share_above(threshold: float) -> Cell:
    return mean(lambda run: np.array(run[VIOLATION]) > threshold, ".0%")


OF_SPEND: Final = TableOf(
    "{part}", ("policy",),
    {
        "policy": key("policy"),
        "stages": {"over b": _share_above(0.0), "by > 5 %": _share_above(0.05)},
        "violation": {
            "median": median(VIOLATION, ".1%"),
            "p90": quantile(VIOLATION, 0.9, ".1%"),
            "p99": quantile(VIOLATION, 0.99, ".1%"),
            "largest": worst(VIOLATION, ".1%"),
            "first stage": mean(lambda run: run[VIOLATION][0], ".1%"),
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

BY_STAGE: Final = LinesOf(
    "{part}: mean violation", "stage", "violation of b, %",
    (Curves(band(lambda run: 100 * np.array(run[VIOLATION])), "policy"),),
    note="Mean over the seeds; stages that spend less than b count as 0.",
)  # fmt: skip

HOW_LARGE: Final = LinesOf(
    "{part}: how large", "% of the stages", "violation of b, %", (Curves(_spread, "policy"),),
    x=lambda _: 100 * QUANTILES, log_y=True,
    note="The share of the stages that violate b by no more than that; logarithmic but about "
    "0. What the oracle shows is chance.",
)  # fmt: skip

OF_STARTS: Final = TableOf(
    "{part}, {who}", ("start",),
    {
        "start": key("start"),
        "regret %": {"mean": interval(regret), "median": median(regret), "worst": worst(regret)},
        "early spend / b": {"mean": interval("early_spend"), "worst": worst("early_spend")},
        "spend / b": {"whole": mean("spend", ".3f")},
    },
    "Regret in % against the stage oracle, with what was spent beyond b T charged at the "
    "oracle's price. Early: spend over the first 1,000 queries.",
)  # fmt: skip

OF_CAPS: Final = TableOf(
    "Throughput caps", ("caps", "policy"),
    {
        "α": key("caps"),
        "policy": key("policy"),
        "oracle": mean("oracle_reward", ".4f"),
        "regret %": interval(regret),
        "at caps": mean(lambda run: share_at_caps(run, AT_CAP), ".0%"),
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

OVER_CAPS: Final = LinesOf(
    "Reward over throughput caps", "α, the same for all models", "mean reward",
    (Curves(band("reward"), "policy"),), over=lambda run: float(run["caps"]),
    where=lambda run: " " not in run["caps"],
    note="What the oracle loses towards the left is the price of the caps; the distance to it "
    "is regret. Overspending is not charged here.",
)  # fmt: skip


def _at_each_budget(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield what checks spend in every stage, and the start."""
    for policy in dict.fromkeys((*settings.policies, CHANCE)):
        yield base.but(SPEND, policy=policy)
    for policy in settings.policies:
        # What is published fixes the start as well: with another one it is StageRoute so set.
        is_published = policy == PUBLISHED
        started = base.but(
            {**START, "who": policy}, policy="stageroute" if is_published else policy,
            limits=as_published(base.limits) if is_published else base.limits,
        )  # fmt: skip
        for start in [*STARTS][::5] if settings.is_small else STARTS:
            changes = dict(STARTS[start])
            if "initial_cost_lcb" in changes:
                changes["initial_cost_lcb"] *= base.limits.budget
            yield started.but({"start": start}, **changes)


def _every_cap(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield what checks throughput caps."""
    step = 3 if settings.is_small else 1
    num_models = settings.workload.stream(1, 0).table.num_models
    caps: dict[str, float | tuple[float, ...]] = {f"{cap:g}": cap for cap in EQUAL_CAPS[::step]}
    for cycle in MIXED_CAPS[::step]:
        label = ", ".join(f"{cap:g}" for cap in cycle) + " in turn"
        caps[label] = tuple(cycle[arm % len(cycle)] for arm in range(num_models))
    for label, cap in caps.items():
        for policy in dict.fromkeys((*settings.policies, CHANCE)):
            yield base.but({**CAPS, "caps": label}, policy=policy, throughput_cap=cap)


STUDY: Final = Study(
    "checks", "Checks",
    "Does spend keep to the budget in every stage, how much does the start matter, and what do "
    "throughput caps cost?",
    (
        Part(
            "Spend per stage, b = {budget:g}", (OF_SPEND, BY_STAGE, HOW_LARGE), by=("budget",),
            where=SPEND,
        ),
        Part("Start, b = {budget:g}", (OF_STARTS,), by=("budget", "who"), where=START),
        Part("Throughput caps", (OF_CAPS, OVER_CAPS), where=CAPS),
    ),
    StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), policies=("stageroute", PUBLISHED)
    ),
    _at_each_budget, _every_cap,
)  # fmt: skip
