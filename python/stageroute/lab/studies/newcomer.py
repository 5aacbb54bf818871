"""How long a better newcomer waits before it serves what it should."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stageroute.config.confidence import Confidence
from stageroute.lab.adoption import Adoption, adoption
from stageroute.lab.episodes import Episode, Record
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.parts import REGRET_COLUMNS, episode, mean_regret, regret_cells
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Curve, Figure, LineFigure, Summary, Table
from stageroute.workloads import BetterNewcomer, BuiltIn
from stageroute.workloads.newcomer import NEWCOMER

__all__ = ["Newcomer"]

ORACLE: Final = "oracle"
OURS: Final = "stageroute"

POLICY, STAGES, BOUNDS, ADVANTAGE = "policy", "K", "bounds", "advantage"

NOTE: Final = (
    "Queries from its arrival, median and 90th percentile over the seeds: until it is live; until "
    "the first stage in which it serves half of what it serves for the oracle; until that holds in "
    "every stage. Traffic: what it served in all, in % of what it served for the oracle, mean. "
    "Regret in % of the stage oracle's reward, overspending charged, over the whole stream."
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


STAGE_VARIANTS: Final = tuple(Variant(STAGES, str(k), num_stages=k) for k in (10, 33, 100, 400))
BOUND_VARIANTS: Final = tuple(
    Variant(BOUNDS, label, confidence=confidence)
    for label, confidence in (
        ("bernstein, γ = 0.03", Confidence(gamma=0.03)),
        ("bernstein, γ = 0.15", Confidence()),
        ("bernstein, γ = 1", Confidence(gamma=1.0)),
        ("paper, γ = 0.1", Confidence("paper")),
        ("kl, γ = 1", Confidence("kl")),
        ("hoeffding, γ = 1", Confidence("hoeffding")),
    )
)
ADVANTAGE_VARIANTS: Final = tuple(
    Variant(ADVANTAGE, f"{a:g}", advantage=a) for a in (0.02, 0.05, 0.1, 0.2)
)


class Newcomer(Study):
    """A better model arrives in the first half of the stream."""

    name = "newcomer"
    question = "How long does a better newcomer wait until it serves what it should?"

    def settings(self) -> StudySettings:
        """Return the full setting."""
        return replace(
            super().settings(),
            workload=BetterNewcomer(BuiltIn(num_initial=11), advantage=0.1),
            budgets=(0.0003, 0.001),
            policies=(OURS, "stageroute-published", "thompson", "ucb1", "greedy"),
        )

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

    def summarise(self, results: StudyResults) -> Summary:
        """Tell how long adoption takes, and what that depends on."""
        budgets = results.distinct("budget")
        sweeps = [name for name in results.distinct("sweep") if name != ORACLE]
        first, *others = (_table(results, budget, name) for budget in budgets for name in sweeps)
        return Summary(
            title="A better newcomer",
            question=self.question,
            findings=tuple(_finding(results, b, name) for b in budgets for name in sweeps),
            tables=(replace(first, note=NOTE), *others),
            figures=tuple(_figure(results, b, name) for b in budgets for name in sweeps),
        )


def _variants(settings: StudySettings) -> list[Variant]:
    policies = [Variant(POLICY, policy, policy=policy) for policy in settings.policies]
    others = [*STAGE_VARIANTS, *BOUND_VARIANTS, *ADVANTAGE_VARIANTS]
    if settings.is_small:
        return [*policies[::2], STAGE_VARIANTS[0], BOUND_VARIANTS[3], ADVANTAGE_VARIANTS[3]]
    return [*policies, *others]


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


def _adoptions(results: StudyResults, records: Sequence[Record]) -> list[Adoption]:
    oracles = {_where(record): record for record in results.of(policy=ORACLE)}
    return [adoption(record, oracles[_where(record)], NEWCOMER) for record in records]


def _where(record: Record) -> tuple[str, int, float, int]:
    return record.workload, record.num_stages, record.budget, record.seed


def _values(results: StudyResults, budget: float, sweep: str) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in results.of(budget=budget, sweep=sweep):
        found.setdefault(record.cell_values["value"], []).append(record)
    return found


def _quantiles(values: Sequence[float]) -> str:
    # Not interpolated: some may be infinite.
    middle, high = np.quantile(values, [0.5, 0.9], method="higher").tolist()
    return f"{_queries(middle)} / {_queries(high)}"


def _queries(value: float) -> str:
    return f"{value:,.0f}" if np.isfinite(value) else "never"


def _table(results: StudyResults, budget: float, sweep: str) -> Table:
    rows = []
    for value, records in _values(results, budget, sweep).items():
        found = _adoptions(results, records)
        rows.append(
            (
                value,
                *(
                    _quantiles([getattr(one, name) for one in found])
                    for name in ("live", "used", "settled")
                ),
                f"{100 * np.mean([one.traffic for one in found]):.0f}",
                *regret_cells(records),
            )
        )
    part = f"b = {budget:g}"
    columns = (sweep, "live", "in use", "settled", "traffic %", *REGRET_COLUMNS)
    return Table(f"Adoption by {sweep}, {part}", columns, tuple(rows), part=part)


def _finding(results: StudyResults, budget: float, sweep: str) -> str:
    texts = []
    for value, records in _values(results, budget, sweep).items():
        found = _adoptions(results, records)
        used = float(np.quantile([one.used for one in found], 0.5, method="higher"))
        settled = np.mean([np.isfinite(one.settled) for one in found])
        texts.append(
            f"{value} {_queries(used)} (settled in {settled:.0%} of the streams, regret "
            f"{mean_regret(records):.2%})"
        )
    return (
        f"b = {budget:g}, by {sweep}: median queries until the newcomer serves half of what it "
        f"should: {'; '.join(texts)}."
    )


def _figure(results: StudyResults, budget: float, sweep: str) -> Figure:
    """Show in how many streams the newcomer has settled, over the queries since its arrival."""
    values = _values(results, budget, sweep)
    times = {
        value: np.sort([one.settled for one in _adoptions(results, records)])
        for value, records in values.items()
    }
    finite = [time[np.isfinite(time)].max(initial=1.0) for time in times.values()]
    grid = np.linspace(0.0, max(finite), 100)
    part = f"b = {budget:g}"
    return LineFigure(
        f"Streams in which the newcomer has settled, by {sweep}, {part}",
        "queries since its arrival",
        "streams, %",
        tuple(
            Curve(value, grid, 100.0 * np.searchsorted(time, grid, side="right") / time.size)
            for value, time in times.items()
        ),
        note="Settled: it serves half of what it serves for the oracle, in every stage from there.",
        part=part,
    )
