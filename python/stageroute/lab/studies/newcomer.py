"""How long a better newcomer waits before it serves what it should."""

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from typing import Any, Final

import numpy as np

from stageroute.config.confidence import Confidence
from stageroute.lab.columns import REGRET_COLUMNS, key, mean
from stageroute.lab.declared import Cell, Part, Scope, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Run, Runs, by
from stageroute.lab.shares import Adoption, adoption
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Curve, LineFigure
from stageroute.workloads import BetterNewcomer, BuiltIn
from stageroute.workloads.arrivals import NEWCOMER

ORACLE: Final = "oracle"

POLICY, STAGES, BOUNDS, ADVANTAGE = "policy", "K", "bounds", "advantage"

NOTE: Final = (
    "Queries from its arrival, median and 90th percentile over the seeds: until it is live; until "
    "the first stage in which it serves half of what it serves for the oracle; until that holds in "
    "every stage, and the share of the streams in which it ever does. Traffic: what it served in "
    "all, in % of what it served for the oracle, mean. Regret in % of the stage oracle's reward, "
    "overspending charged, over the whole stream."
)

BOUNDS_TRIED: Final = {
    "bernstein, γ = 0.03": Confidence(gamma=0.03),
    "bernstein, γ = 0.15": Confidence(),
    "bernstein, γ = 1": Confidence(gamma=1.0),
    "paper, γ = 0.1": Confidence("paper"),
    "kl, γ = 1": Confidence("kl"),
    "hoeffding, γ = 1": Confidence("hoeffding"),
}

VARIANTS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    *((STAGES, str(k), {"num_stages": k}) for k in (10, 33, 100, 400)),
    *((BOUNDS, label, {"confidence": bounds}) for label, bounds in BOUNDS_TRIED.items()),
    *((ADVANTAGE, f"{a:g}", {ADVANTAGE: a}) for a in (0.02, 0.05, 0.1, 0.2)),
)
"""What is varied, how it is called, and what differs from the usual."""

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
        for value, runs in by(scope.runs, "value").items()
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


TABLE: Final = TableOf(
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


def _every_variant(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every variant, and the oracle on the same stages of the same stream, once."""
    policies = [(POLICY, policy, {"policy": policy}) for policy in settings.policies]
    few, oracles = settings.is_small, []
    for sweep, value, usual in (
        *(policies[::2] if few else policies), *(SMALL_VARIANTS if few else VARIANTS),
    ):  # fmt: skip
        changes, workload = dict(usual), base.workload
        if (advantage := changes.pop(ADVANTAGE, None)) and isinstance(workload, BetterNewcomer):
            workload = replace(workload, advantage=advantage)
        episode = base.but({"sweep": sweep, "value": value}, workload=workload, **changes)
        yield episode
        known = replace(episode, policy=ORACLE, limits=base.limits, cell=())
        oracles.append(known.but({"sweep": ORACLE, "value": ORACLE}))
    yield from dict.fromkeys(oracles)


SHOWN: Final = Part(
    "b = {budget:g}", (TABLE, _settled), by=("budget", "sweep"),
    where=lambda run: run["sweep"] != ORACLE,
)  # fmt: skip

STUDY: Final = Study(
    "newcomer", "A better newcomer",
    "How long does a better newcomer wait until it serves what it should?", (SHOWN,),
    StudySettings(
        workload=BetterNewcomer(BuiltIn(num_initial=11), advantage=0.1), budgets=(0.0003, 0.001),
        policies=("stageroute", "stageroute-published", "thompson", "ucb1", "greedy"),
    ),
    _every_variant,
)  # fmt: skip
