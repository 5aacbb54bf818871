"""How long a better newcomer waits before it serves what it should."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final

import numpy as np

from stageroute.config.confidence import Confidence
from stageroute.lab.adoption import Adoption, adoption
from stageroute.lab.columns import REGRET_COLUMNS, key, mean
from stageroute.lab.declared import Cell, Part, Scope, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.runs import Run, Runs, group
from stageroute.lab.studies.episode import episode
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Curve, LineFigure
from stageroute.workloads import BetterNewcomer, BuiltIn
from stageroute.workloads.arrivals import NEWCOMER

__all__ = ["Newcomer"]

ORACLE: Final = "oracle"
OURS: Final = "stageroute"

POLICY, STAGES, BOUNDS, ADVANTAGE = "policy", "K", "bounds", "advantage"

NOTE: Final = (
    "Queries from its arrival, median and 90th percentile over the seeds: until it is live; until "
    "the first stage in which it serves half of what it serves for the oracle; until that holds in "
    "every stage, and the share of the streams in which it ever does. Traffic: what it served in "
    "all, in % of what it served for the oracle, mean. Regret in % of the stage oracle's reward, "
    "overspending charged, over the whole stream."
)


@dataclass(frozen=True)
class Variant:
    """One of the settings that are compared; the others are as usual."""

    sweep: str
    label: str
    policy: str = OURS
    num_stages: int | None = None
    confidence: Confidence | None = None
    advantage: float | None = None


VARIANTS: Final = (
    *(Variant(STAGES, str(k), num_stages=k) for k in (10, 33, 100, 400)),
    Variant(BOUNDS, "bernstein, γ = 0.03", confidence=Confidence(gamma=0.03)),
    Variant(BOUNDS, "bernstein, γ = 0.15", confidence=Confidence()),
    Variant(BOUNDS, "bernstein, γ = 1", confidence=Confidence(gamma=1.0)),
    Variant(BOUNDS, "paper, γ = 0.1", confidence=Confidence("paper")),
    Variant(BOUNDS, "kl, γ = 1", confidence=Confidence("kl")),
    Variant(BOUNDS, "hoeffding, γ = 1", confidence=Confidence("hoeffding")),
    *(Variant(ADVANTAGE, f"{a:g}", advantage=a) for a in (0.02, 0.05, 0.1, 0.2)),
)
SMALL_VARIANTS: Final = (VARIANTS[0], VARIANTS[7], VARIANTS[13])


def _adoption(run: Run) -> Adoption:
    return adoption(run.record, run.oracle().record, NEWCOMER)


def _queries(name: str) -> Cell:
    """Return what says after how many queries something came about: median and 90th percentile."""

    def say(runs: Runs) -> str:
        found = [getattr(_adoption(run), name) for run in runs]
        # Not interpolated: some may be infinite.
        quantiles = np.quantile(found, [0.5, 0.9], method="higher").tolist()
        return " / ".join(f"{value:,.0f}" if np.isfinite(value) else "never" for value in quantiles)

    return say


def _settled(scope: Scope) -> list[LineFigure]:
    """Show in how many streams the newcomer has settled, over the queries since its arrival."""
    times = {
        value: np.sort([_adoption(run).settled for run in runs])
        for (value,), runs in group(scope.runs, "value").items()
    }
    last = max(time[np.isfinite(time)].max(initial=1.0) for time in times.values())
    grid = np.linspace(0.0, last, 100)
    return [
        LineFigure(
            scope.text("Streams in which the newcomer has settled, by {sweep}, {part}"),
            "queries since its arrival", "streams, %",
            tuple(
                Curve(value, grid, 100.0 * np.searchsorted(time, grid, side="right") / time.size)
                for value, time in times.items()
            ),
            note="Settled: it serves half of what it serves for the oracle, in every stage from "
            "there.",
            part=scope.part,
        )
    ]  # fmt: skip


class Newcomer(Study):
    """A better model arrives in the first half of the stream."""

    name = "newcomer"
    title = "A better newcomer"
    question = "How long does a better newcomer wait until it serves what it should?"

    full = StudySettings(
        workload=BetterNewcomer(BuiltIn(num_initial=11), advantage=0.1), budgets=(0.0003, 0.001),
        policies=(OURS, "stageroute-published", "thompson", "ucb1", "greedy"),
    )  # fmt: skip

    table = TableOf(
        "Adoption by {sweep}, {part}", ("value",),
        {
            "{sweep}": key("value"),
            "live": _queries("live"),
            "in use": _queries("used"),
            "settled": _queries("settled"),
            "settled in": mean(lambda run: _adoption(run).settled < inf, ".0%"),
            "traffic %": mean(lambda run: 100 * _adoption(run).traffic, ".0f"),
            **REGRET_COLUMNS,
        },
        NOTE,
    )  # fmt: skip
    parts = (
        Part(
            "b = {budget:g}", (table, _settled), by=("budget", "sweep"),
            where=lambda run: run["sweep"] != ORACLE,
        ),
    )  # fmt: skip

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every variant, and the oracle on the same stages of the same stream."""
        variants = _variants(settings)
        return [
            found
            for seed in settings.seeds
            for budget in settings.budgets
            for found in [
                *(_episode(settings, variant, budget, seed) for variant in variants),
                *_oracles(settings, variants, budget, seed),
            ]
        ]


def _variants(settings: StudySettings) -> list[Variant]:
    policies = [Variant(POLICY, policy, policy=policy) for policy in settings.policies]
    if settings.is_small:
        return [*policies[::2], *SMALL_VARIANTS]
    return [*policies, *VARIANTS]


def _episode(settings: StudySettings, variant: Variant, budget: float, seed: int) -> Episode:
    limits = settings.at_budget(budget)
    workload = settings.workload
    if variant.advantage is not None and isinstance(workload, BetterNewcomer):
        workload = replace(workload, advantage=variant.advantage)
    return episode(
        settings, variant.policy,
        replace(limits, confidence=variant.confidence or limits.confidence),
        seed,
        (("sweep", variant.sweep), ("value", variant.label)),
        workload=workload,
        num_stages=variant.num_stages,
    )  # fmt: skip


def _oracles(
    settings: StudySettings, variants: Sequence[Variant], budget: float, seed: int
) -> list[Episode]:
    """Return the oracle once for each length of stages and each newcomer."""
    cell = (("sweep", ORACLE), ("value", ORACLE))
    found = [
        replace(
            _episode(settings, variant, budget, seed),
            policy=ORACLE, limits=settings.at_budget(budget), cell=cell,
        )
        for variant in variants
    ]  # fmt: skip
    return list(dict.fromkeys(found))
