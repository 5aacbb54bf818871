"""What is measured of a run, and what a table's cell says of several."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Protocol

import numpy as np

from stageroute.lab.declared import Cell
from stageroute.lab.results import Key, Run, Runs, by
from stageroute.lab.statistics import Floats, PowerLaw, covering, fit_power_law, interval_of
from stageroute.lab.summary import Point

Of = str | Callable[[Run], Any]
"""A field of the record, or what is worked out of a run: a number, or an array of numbers."""


# ---- of a run -----------------------------------------------------------------------------------


def regret(run: Run) -> float:
    """Return the regret against the stage oracle, % of its reward, overspending charged."""
    return 100.0 * (priced(run) / (run.record.oracle_reward * run.record.num_queries))


def plain_regret(run: Run) -> float:
    """Return the regret against the stage oracle, % of its reward, overspending not charged."""
    return 100.0 * run.record.regret


def priced(run: Run) -> float:
    """Return the regret in rewards, with overspending charged at the oracle's price of money."""
    return run.record.total_regret + run.record.overspend_charge


def in_all(run: Run) -> float:
    """Return the regret in rewards: overspending charged, and waiting for stage boundaries."""
    return priced(run) + _waiting_cost(run)


def waiting(run: Run) -> float:
    """Return what waiting for boundaries costs, % of the oracle that redeploys at every arrival.

    NaN where it was not worked out.
    """
    return 100.0 * (_waiting_cost(run) / _available(run))


def loss(run: Run) -> float:
    """Return what was lost in all, % of the oracle that redeploys at every arrival."""
    return 100.0 * (in_all(run) / _available(run))


def lp_share(*statuses: str) -> Callable[[Run], float]:
    """Return what gives the part of the LPs of these statuses, %; NaN for a policy without any."""

    def share(run: Run) -> float:
        counts = run.record.lp_status_counts
        if not counts:
            return float("nan")
        return 100.0 * sum(counts[status] for status in statuses) / sum(counts.values())

    return share


def time(name: str) -> Callable[[Run], float]:
    """Return what gives a time; NaN where none were kept."""
    return lambda run: run.timing.get(name, float("nan"))


def _waiting_cost(run: Run) -> float:
    return float("nan") if run.record.waiting_cost is None else run.record.waiting_cost


def _available(run: Run) -> float:
    return run.record.oracle_reward * run.record.num_queries + _waiting_cost(run)


# ---- of several ---------------------------------------------------------------------------------


class Says(Protocol):
    """What makes a cell of a figure of the runs; `form` formats the number."""

    def __call__(self, of: Of, form: str = ".2f") -> Cell:
        """Return the cell."""


def column(runs: Runs, of: Of) -> Floats:
    """Return a figure of every run, shape (runs, ...)."""
    found = [run[of] if isinstance(of, str) else of(run) for run in runs]
    return np.array(found, dtype=np.float64)


def cell(of: Callable[[Runs], float], form: str) -> Cell:
    """Return what formats a figure of several runs; a dash where it is NaN."""

    def say(runs: Runs) -> str:
        found = of(runs)
        return format(found, form) if found == found else "-"

    return say


def key(name: str, form: str = "") -> Cell:
    """Return what formats a value that all these runs have in common."""
    return lambda runs: format(runs[0][name], form)


def _statistic(statistic: Callable[[Floats], Any]) -> Says:
    return lambda of, form=".2f": cell(lambda runs: float(statistic(column(runs, of))), form)


mean, median = _statistic(np.mean), _statistic(np.median)
least, worst = _statistic(np.min), _statistic(np.max)


def quantile(of: Of, share: float, form: str = ".2f") -> Cell:
    """Return what formats a quantile."""
    return _statistic(lambda found: np.quantile(found, share))(of, form)


def quantiles(of: Of) -> dict[str, Cell]:
    """Return columns of the median, the 90th percentile and the largest."""
    return {"median": median(of), "p90": quantile(of, 0.9), "worst": worst(of)}


def interval(of: Of, digits: int = 2, statistic: Callable[..., Any] = np.mean) -> Cell:
    """Return what formats the mean, or another statistic, with the interval that covers it."""
    return lambda runs: interval_of(statistic, column(runs, of)).text(digits)


def power_law(runs: Runs, size: Key, of: Of) -> PowerLaw | None:
    """Fit a power law to a figure of runs over their sizes; None for fewer than two sizes too."""
    groups = by(runs, size)
    if len(groups) < 2:
        return None
    return fit_power_law([*groups], [column(members, of) for members in groups.values()])


def exponent(size: Key, of: Of) -> Cell:
    """Return what formats the exponent of a figure's growth; a dash where there is none."""

    def say(runs: Runs) -> str:
        law = power_law(runs, size, of)
        return "-" if law is None else law.exponent.text()

    return say


def band(of: Of) -> Callable[[Runs], tuple[Floats, Floats, Floats]]:
    """Return what gives the mean and the ends of the interval that covers it, point by point."""

    def show(runs: Runs) -> tuple[Floats, Floats, Floats]:
        found = column(runs, of)
        return np.mean(found, axis=0), *covering(np.mean, found)

    return show


def points(
    runs: Runs,
    of: str,
    x: Of,
    y: Of,
    focus: Collection[str] | None = None,
    label: Callable[[str], str] = str,
) -> tuple[Point, ...]:
    """Return a point for each value of a key: means with the intervals that cover them."""
    found = []
    for value, members in by(runs, of).items():
        at, height = (interval_of(np.mean, column(members, axis)) for axis in (x, y))
        found.append(
            Point(
                label(value), at.value, height.value, (at.low, at.high), (height.low, height.high),
                in_focus=focus is None or value in focus,
            )
        )  # fmt: skip
    return tuple(found)


REGRET_COLUMNS: Final[Mapping[str, Cell]] = {
    "regret %": interval(regret),
    "worst": worst(regret, ".1f"),
    "spend / b": mean("spend", ".3f"),
}

RUNNING_COLUMNS: Final[Mapping[str, Cell]] = {
    "median": median("worst_running_spend", ".3f"),
    "worst": worst("worst_running_spend", ".3f"),
}

REGRET_NOTE: Final = (
    "Regret in % of the stage oracle's reward, with what was spent beyond b T charged at the "
    "oracle's price: mean over the seeds, in brackets what covers it with 95 %; then the worst "
    "seed and the mean spend."
)
