"""Three checks: spend in every stage, robustness to initialisation, throughput caps."""

from dataclasses import dataclass, replace
from typing import Any, Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.episodes import Cell, Episode
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.checks_summary import CAPS, CHANCE, SPEND, START, UNCHANGED, summarise
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Summary
from stageroute.policies import Limits
from stageroute.policies.stageroute import as_published
from stageroute.workloads import BuiltIn

__all__ = ["Checks"]

PUBLISHED: Final = "stageroute-published"


@dataclass(frozen=True)
class Start:
    """What is believed of a model that was not tried yet.

    Parameters
    ----------
    label : str
    confidence : dict
        Changed fields of `Confidence`.
    cost_bound : float, optional
        `initial_cost_lcb`, in units of b.
    use_prices : bool, optional
        As in `Limits`.
    """

    label: str
    confidence: tuple[tuple[str, Any], ...] = ()
    cost_bound: float | None = None
    use_prices: bool | None = None

    def apply(self, limits: Limits) -> Limits:
        """Return the limits with this start."""
        changes = dict(self.confidence)
        if self.cost_bound is not None:
            changes["initial_cost_lcb"] = self.cost_bound * limits.budget
        prices = limits.use_prices if self.use_prices is None else self.use_prices
        confidence = replace(limits.confidence, **changes)
        return replace(limits, confidence=confidence, use_prices=prices)


STARTS: Final = (
    Start(UNCHANGED),
    Start("reward bound 0.75", (("initial_reward_ucb", 0.75),)),
    Start("reward bound 0.5", (("initial_reward_ucb", 0.5),)),
    Start("cost bound b / 2", cost_bound=0.5),
    Start("cost bound b", cost_bound=1.0),
    Start("no forced visits", (("min_visits", 0),)),
    Start("5 forced visits", (("min_visits", 5),)),
    Start("20 forced visits", (("min_visits", 20),)),
    Start("100 forced visits", (("min_visits", 100),)),
    Start("prices unknown", use_prices=False),
    Start("prices known", use_prices=True),
)

EQUAL_CAPS: Final = (0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
MIXED_CAPS: Final = ((0.2, 0.4, 0.6), (1.0, 0.5, 0.25))
"""Given to the models in turn, in order of arrival."""


class Checks(Study):
    """Budget violation per stage, initialisation, and throughput caps, each on its own."""

    name = "checks"
    question = (
        "Does spend keep to the budget in every stage, how much does the start matter, and what "
        "do throughput caps cost?"
    )

    def settings(self) -> StudySettings:
        """Return the full setting; throughput caps are checked at the limits' budget."""
        return replace(
            super().settings(),
            workload=BuiltIn(arrival_order=RELEASE_ORDER),
            policies=("stageroute", PUBLISHED),
        )

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return the episodes of the three checks, seed by seed."""
        caps = _all_caps(settings)
        starts = STARTS[::5] if settings.is_small else STARTS
        policies = tuple(dict.fromkeys((*settings.policies, CHANCE)))
        return [
            episode
            for seed in settings.seeds
            for episode in [
                *(
                    _episode(settings, policy, settings.at_budget(budget), seed, (SPEND,))
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
                    _episode(
                        settings, policy, replace(settings.limits, throughput_cap=cap), seed,
                        (CAPS, ("caps", label)),
                    )
                    for label, cap in caps.items()
                    for policy in policies
                ),
            ]
        ]  # fmt: skip

    def summarise(self, results: StudyResults) -> Summary:
        """Answer the three questions."""
        return summarise(results, self.question)


def _started(
    settings: StudySettings, policy: str, budget: float, start: Start, seed: int
) -> Episode:
    limits = settings.at_budget(budget)
    cell = (START, ("who", policy), ("start", start.label))
    if policy == PUBLISHED:
        # What is published fixes the start as well: with another one it is StageRoute so set.
        policy, limits = "stageroute", as_published(limits)
    return _episode(settings, policy, start.apply(limits), seed, cell)


def _all_caps(settings: StudySettings) -> dict[str, float | tuple[float, ...]]:
    step = 3 if settings.is_small else 1
    num_models = settings.workload.stream(1, 0).table.num_models
    caps: dict[str, float | tuple[float, ...]] = {f"{cap:g}": cap for cap in EQUAL_CAPS[::step]}
    for cycle in MIXED_CAPS[::step]:
        label = ", ".join(f"{cap:g}" for cap in cycle) + " in turn"
        caps[label] = tuple(cycle[arm % len(cycle)] for arm in range(num_models))
    return caps


def _episode(
    settings: StudySettings, policy: str, limits: Limits, seed: int, cell: Cell
) -> Episode:
    return Episode(
        workload=settings.workload,
        policy=policy,
        limits=limits,
        num_queries=settings.num_queries,
        num_stages=settings.num_stages,
        seed=seed,
        cell=cell,
    )
