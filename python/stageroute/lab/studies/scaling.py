"""How regret grows with the number of queries, against the T^(2/3) of the theory."""

import math
from dataclasses import dataclass, replace
from typing import Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.episodes import Cell, Episode
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.scaling_summary import (
    CUBE_ROOT,
    FIXED,
    GUESSING,
    SQUARE_ROOT,
    summarise,
)
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Summary
from stageroute.workloads import BuiltIn, NeedleArrivals, RandomArrivals, Workload

__all__ = ["Scaling"]

THEORY: Final = "stageroute-theory"
ONE_RULE: Final = (THEORY, GUESSING)
"""Policies to compare with: run with T^(1/3) stages alone."""

LARGEST_NEEDLE: Final = 1_000_000
"""Needles with T^(1/2) stages end here: a boundary takes milliseconds where models are many."""


@dataclass(frozen=True)
class Instance:
    """What the regret is measured on."""

    label: str
    workload: Workload
    throughput_cap: float | None = None
    rules: tuple[str, ...] = (CUBE_ROOT, SQUARE_ROOT, FIXED)


class Scaling(Study):
    """Streams of 1,000 to 10,000,000 queries, with K following T by several rules."""

    name = "scaling"
    question = "Does regret grow as T^(2/3), and what of it does?"

    def settings(self) -> StudySettings:
        """Return the full setting. T is the longest stream; K counts where it is fixed."""
        return replace(
            super().settings(),
            workload=BuiltIn(arrival_order=RELEASE_ORDER),
            budgets=(0.001,),
            policies=("stageroute", "stageroute-published", THEORY, GUESSING),
            num_queries=10_000_000,
        )

    def small(self, settings: StudySettings) -> StudySettings:
        """Return the setting for tests."""
        return replace(super().small(settings), num_queries=10_000, num_stages=33)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every policy under every rule for K, the long streams first."""
        return [
            Episode(
                workload=instance.workload,
                policy=policy,
                limits=replace(
                    settings.at_budget(budget),
                    throughput_cap=instance.throughput_cap or settings.limits.throughput_cap,
                ),
                num_queries=num_queries,
                num_stages=num_stages(rule, num_queries, settings.num_stages),
                seed=seed,
                cell=(("instance", instance.label), ("rule", rule), *floor(instance, num_queries)),
            )
            for num_queries in reversed(lengths(settings.num_queries))
            for budget in settings.budgets
            for instance in instances(settings, budget)
            for seed in settings.seeds[: num_seeds(num_queries)]
            for rule in instance.rules
            if num_queries <= longest(instance, rule)
            for policy in settings.policies
            if rule == CUBE_ROOT or policy not in ONE_RULE
        ]

    def summarise(self, results: StudyResults) -> Summary:
        """Fit exponents for every instance."""
        return summarise(results, self.question)


def lengths(longest_stream: int) -> list[int]:
    """Return T: 1,000, 3,000, 10,000, ... up to the longest."""
    values = [step * 10**power for power in range(3, 9) for step in (1, 3)]
    return [value for value in values if value <= longest_stream] or [longest_stream]


def num_seeds(num_queries: int) -> int:
    """Return how many streams of this length: 20, or fewer where they are long, at least 4."""
    return min(20, max(4, 3_000_000 // num_queries))


def num_stages(rule: str, num_queries: int, fixed: int) -> int:
    """Return K."""
    if rule == FIXED:
        return fixed
    power = 1.0 / 3.0 if rule == CUBE_ROOT else 0.5
    return round(math.pow(num_queries, power))


def floor(instance: Instance, num_queries: int) -> Cell:
    """Return the regret that no learner can stay below on average, where there is such a bound."""
    if not isinstance(instance.workload, NeedleArrivals):
        return ()
    return (("lower bound", instance.workload.regret_floor(num_queries)),)


def longest(instance: Instance, rule: str) -> float:
    """Return the T up to which the instance is run under the rule."""
    is_slow = isinstance(instance.workload, NeedleArrivals) and rule == SQUARE_ROOT
    return LARGEST_NEEDLE if is_slow else math.inf


def instances(settings: StudySettings, budget: float) -> list[Instance]:
    """Return the settings' workload with random arrivals, and needles that are hard to find.

    Needles need caps of 1, where nothing but learning finds them. At a = 1 a needle can just be
    told from the others within its batch; at a = 1/4, where the lower bound holds, it hardly can.
    """
    stochastic = RandomArrivals(settings.workload)
    return [
        Instance(f"{stochastic.label}, b = {budget:g}", stochastic),
        Instance("needles, a = 0.25", NeedleArrivals(), 1.0, (CUBE_ROOT, SQUARE_ROOT)),
        Instance("needles, a = 1", NeedleArrivals(advantage=1.0), 1.0, (CUBE_ROOT,)),
    ]
