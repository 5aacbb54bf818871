"""What each setting does: one at a time, around the default."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.episodes import Cell, Episode
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.sweeps_summary import DEFAULT, INTERVAL, summarise
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Summary
from stageroute.policies.stageroute import as_published
from stageroute.workloads import BuiltIn, LargePool, RandomArrivals

__all__ = ["Sweeps"]

PUBLISHED: Final = "stageroute-published"

SUITES: Final = 5
"""How many pools there are of each size."""


@dataclass(frozen=True)
class Sweep:
    """A setting, its values, and what a value does to an episode."""

    name: str
    values: tuple[float, ...]
    apply: Callable[[Episode, float], Episode]
    small: tuple[float, ...]


def _stages(episode: Episode, value: float) -> Episode:
    return replace(episode, num_stages=int(value))


def _max_deployed(episode: Episode, value: float) -> Episode:
    return replace(episode, limits=replace(episode.limits, max_deployed=int(value)))


def _budget(episode: Episode, value: float) -> Episode:
    return replace(episode, limits=replace(episode.limits, budget=value))


def _throughput_cap(episode: Episode, value: float) -> Episode:
    return replace(episode, limits=replace(episode.limits, throughput_cap=value))


def _gamma(episode: Episode, value: float) -> Episode:
    if episode.policy == PUBLISHED:
        # Its γ is published too: the same algorithm with another one is StageRoute so set.
        limits = as_published(episode.limits)
        episode = replace(episode, policy="stageroute", limits=limits)
    confidence = replace(episode.limits.confidence, gamma=value)
    return replace(episode, limits=replace(episode.limits, confidence=confidence))


def _candidates(episode: Episode, value: float) -> Episode:
    return replace(episode, workload=LargePool(int(value), suite=episode.seed % SUITES))


def _arrivals(episode: Episode, value: float) -> Episode:
    # Without random arrivals there is nothing whose speed could change.
    workload = episode.workload
    base = workload.base if isinstance(workload, RandomArrivals) else workload
    return replace(episode, workload=RandomArrivals(base, within=value))


OTHER_SWEEPS: Final = (
    Sweep("M_max", (2, 3, 4, 6, 8, 11), _max_deployed, (3, 4)),
    Sweep("b, USD per query", (0.0002, 0.0003, 0.0005, 0.001, 0.0015, 0.002, 0.003), _budget,
          (0.0005, 0.001)),
    Sweep("α", (0.25, 0.3, 0.4, 0.5, 0.75, 1.0), _throughput_cap, (0.4, 1.0)),
    Sweep("γ", (0.01, 0.03, 0.1, 0.15, 0.3, 1.0, 3.0), _gamma, (0.1, 1.0)),
    Sweep("candidates", (10, 20, 50, 100, 200, 500, 1000), _candidates, (10, 20)),
    Sweep("arrivals within, share of the stream", (0.02, 0.05, 0.1, 0.25, 0.5, 1.0), _arrivals,
          (0.1, 1.0)),
)  # fmt: skip
UPDATES: Final = Sweep(INTERVAL, (5, 10, 20, 33, 50, 100, 200, 400), _stages, (5, 20))
"""Swept at every budget, since it is what an operator asks first."""


class Sweeps(Study):
    """One-dimensional sweeps over K, M_max, b, α, γ, the candidates and the speed of arrivals."""

    name = "sweeps"
    question = "How sensitive is each policy to each setting, and how often should it redeploy?"

    def settings(self) -> StudySettings:
        """Return the full setting. The limits' budget is the default of the other sweeps."""
        return replace(
            super().settings(),
            workload=BuiltIn(arrival_order=RELEASE_ORDER),
            policies=("stageroute", PUBLISHED, "greedy"),
        )

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every policy at every value of every sweep, and the oracle at the default."""
        return [
            episode
            for seed in settings.seeds
            for episode in [
                *_defaults(settings, seed),
                *(
                    episode
                    for budget in settings.budgets
                    for episode in _sweep(UPDATES, settings, seed, budget)
                ),
                *(
                    episode
                    for sweep in OTHER_SWEEPS
                    for episode in _sweep(sweep, settings, seed, settings.limits.budget)
                ),
            ]
        ]

    def summarise(self, results: StudyResults) -> Summary:
        """Tell what each sweep says."""
        return summarise(results, self.question)


def _defaults(settings: StudySettings, seed: int) -> list[Episode]:
    return [
        _episode(settings, policy, seed, settings.limits.budget, (("sweep", DEFAULT),))
        for policy in dict.fromkeys((*settings.policies, "oracle"))
    ]


def _sweep(sweep: Sweep, settings: StudySettings, seed: int, budget: float) -> list[Episode]:
    values = sweep.small if settings.is_small else sweep.values
    random = replace(settings, workload=RandomArrivals(settings.workload))
    return [
        sweep.apply(
            _episode(
                random, policy, seed, budget,
                (("sweep", sweep.name), ("value", value), ("who", policy)),
            ),
            value,
        )
        for value in values
        for policy in settings.policies
    ]  # fmt: skip


def _episode(settings: StudySettings, policy: str, seed: int, budget: float, cell: Cell) -> Episode:
    return Episode(
        workload=settings.workload,
        policy=policy,
        limits=settings.at_budget(budget),
        num_queries=settings.num_queries,
        num_stages=settings.num_stages,
        seed=seed,
        cell=cell,
    )
