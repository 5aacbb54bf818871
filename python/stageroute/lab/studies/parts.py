"""What several studies have in common: episodes under the settings, cells of tables, curves."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from stageroute.lab.columns import column, priced_regret
from stageroute.lab.episodes import Cell, Episode, Record
from stageroute.lab.intervals import Floats, bands, mean_interval
from stageroute.lab.study import StudySettings
from stageroute.lab.summary import Curve
from stageroute.policies import Limits
from stageroute.workloads import Workload

__all__ = [
    "REGRET_COLUMNS",
    "REGRET_NOTE",
    "curve",
    "episode",
    "mean_regret",
    "mean_spend",
    "percent_regret",
    "regret_cells",
]

REGRET_COLUMNS: Final = ("regret %", "worst", "spend / b")

REGRET_NOTE: Final = (
    "Regret in % of the stage oracle's reward, with what was spent beyond b T charged at the "
    "oracle's price: mean over the seeds, in brackets what covers it with 95 %; then the worst "
    "seed and the mean spend."
)


def episode(
    settings: StudySettings,
    policy: str,
    limits: Limits,
    seed: int,
    cell: Cell,
    *,
    workload: Workload | None = None,
    num_stages: int | None = None,
) -> Episode:
    """Return an episode as the settings have it, on another workload or K where they are given."""
    return Episode(
        workload=settings.workload if workload is None else workload,
        policy=policy,
        limits=limits,
        num_queries=settings.num_queries,
        num_stages=settings.num_stages if num_stages is None else num_stages,
        seed=seed,
        cell=cell,
    )


def percent_regret(records: Sequence[Record]) -> Floats:
    """Return the regret of every record in %, overspending charged."""
    return np.asarray(100.0 * priced_regret(records))


def mean_regret(records: Sequence[Record]) -> float:
    """Return the mean regret as a share of the oracle's reward, overspending charged."""
    return float(priced_regret(records).mean())


def mean_spend(records: Sequence[Record]) -> float:
    """Return the mean spend / budget."""
    return float(column(records, "spend").mean())


def regret_cells(records: Sequence[Record]) -> tuple[str, ...]:
    """Return the cells of `REGRET_COLUMNS`."""
    regret = percent_regret(records)
    spend = f"{mean_spend(records):.3f}"
    return mean_interval(regret).text(), f"{regret.max():.1f}", spend


def curve(
    label: str,
    x: Sequence[float],
    groups: Sequence[Sequence[Record]],
    quantity: Callable[[Sequence[Record]], Floats] = percent_regret,
    *,
    in_focus: bool = True,
) -> Curve:
    """Return the mean of a quantity of groups of records over x, with what covers it."""
    parts = [bands(quantity(records)[:, None]) for records in groups]
    mean, low, high = (np.ravel(part) for part in zip(*parts, strict=True))
    return Curve(label, np.asarray(x, dtype=np.float64), mean, low, high, in_focus=in_focus)
