"""What is measured of a run, and what a table's cell says of several."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np

from stageroute.lab.declared import Cell
from stageroute.lab.intervals import Floats, bands, mean_interval, median_interval
from stageroute.lab.runs import Run, Runs, group
from stageroute.lab.summary import Point

__all__ = [
    "REGRET_COLUMNS", "REGRET_NOTE", "band", "cell", "column", "interval", "key", "learning",
    "loss", "mean", "median", "plain_regret", "points", "priced", "quantile", "regret", "stages",
    "timed", "tried", "typical", "waiting", "waiting_cost", "worst",
]  # fmt: skip

Of = str | Callable[[Run], Any]
"""A field of the record, or what is worked out of a run: a number, or an array of numbers."""


# ---- of a run -----------------------------------------------------------------------------------


def regret(run: Run) -> float:
    """Return the regret against the stage oracle, % of its reward, overspending charged."""
    record = run.record
    return 100.0 * (priced(run) / (record.oracle_reward * record.num_queries))


def plain_regret(run: Run) -> float:
    """Return the regret against the stage oracle, % of its reward, overspending not charged."""
    return 100.0 * run.record.regret


def priced(run: Run) -> float:
    """Return the regret in rewards, with overspending charged at the oracle's price of money."""
    return run.record.total_regret + run.record.overspend_charge


def waiting(run: Run) -> float:
    """Return what waiting for stage boundaries costs, % of the oracle that does not wait.

    NaN where it was not worked out.
    """
    return 100.0 * (waiting_cost(run) / _available(run))


def loss(run: Run) -> float:
    """Return what was lost in all, % of the oracle that redeploys at every arrival.

    Waiting for stage boundaries counts, unlike in the regret against the stage oracle, and so does
    money that was spent beyond the budget, at the oracle's price. NaN where the cost of waiting was
    not worked out.
    """
    return 100.0 * ((priced(run) + waiting_cost(run)) / _available(run))


def learning(run: Run) -> float:
    """Return the part of the loss that is not waiting."""
    return loss(run) - waiting(run)


def tried(run: Run) -> float:
    """Return the share of the models that arrived which served a query, in %."""
    return 100.0 * (run.record.newcomers_tried or 0.0)


def waiting_cost(run: Run) -> float:
    """Return what waiting for stage boundaries costs, in rewards; NaN where not worked out."""
    return float("nan") if run.record.waiting_cost is None else run.record.waiting_cost


def _available(run: Run) -> float:
    return run.record.oracle_reward * run.record.num_queries + waiting_cost(run)


# ---- of several ---------------------------------------------------------------------------------


def column(runs: Runs, of: Of) -> Floats:
    """Return a figure of every run, shape (runs, ...)."""
    found = [run[of] if isinstance(of, str) else of(run) for run in runs]
    return np.array(found, dtype=np.float64)


def cell(of: Callable[[Runs], float], form: str) -> Cell:
    """Return what formats a figure of several runs."""
    return lambda runs: format(of(runs), form)


def key(name: str, form: str = "") -> Cell:
    """Return what formats a value that all these runs have in common."""
    return lambda runs: format(runs[0][name], form)


def mean(of: Of, form: str = ".2f") -> Cell:
    """Return what formats the mean."""
    return cell(lambda runs: float(column(runs, of).mean()), form)


def median(of: Of, form: str = ".2f") -> Cell:
    """Return what formats the median."""
    return cell(lambda runs: float(np.median(column(runs, of))), form)


def quantile(of: Of, share: float, form: str = ".2f") -> Cell:
    """Return what formats a quantile."""
    return cell(lambda runs: float(np.quantile(column(runs, of), share)), form)


def worst(of: Of, form: str = ".2f") -> Cell:
    """Return what formats the largest."""
    return cell(lambda runs: float(column(runs, of).max()), form)


def interval(of: Of, digits: int = 2) -> Cell:
    """Return what formats the mean with the interval that covers it."""
    return lambda runs: mean_interval(column(runs, of)).text(digits)


def typical(of: Of, digits: int = 2) -> Cell:
    """Return what formats the median with the interval that covers it."""
    return lambda runs: median_interval(column(runs, of)).text(digits)


def timed(
    name: str, form: str, of_all: Callable[[Sequence[float]], Any] = np.median, *, each: str = ""
) -> Cell:
    """Return what formats a time, over the runs and for `each`; a dash where none were kept."""

    def say(runs: Runs) -> str:
        found = [run.timing[name] / (run[each] if each else 1) for run in runs if run.timing]
        return format(of_all(found), form) if found else "-"

    return say


def stages(runs: Runs) -> Floats:
    """Return the numbers of the stages, from 1."""
    return np.arange(1.0, runs[0].record.num_stages + 1)


def band(of: Of) -> Callable[[Runs], tuple[Floats, Floats, Floats]]:
    """Return what gives the mean and the ends of the interval that covers it."""
    return lambda runs: bands(column(runs, of))


def points(
    runs: Runs,
    by: str,
    x: Of,
    y: Of,
    focus: Collection[str] | None = None,
    label: Callable[[str], str] = str,
) -> tuple[Point, ...]:
    """Return a point for each value of a key: means with the intervals that cover them."""
    found = []
    for (value,), members in group(runs, by).items():
        at, height = mean_interval(column(members, x)), mean_interval(column(members, y))
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

REGRET_NOTE: Final = (
    "Regret in % of the stage oracle's reward, with what was spent beyond b T charged at the "
    "oracle's price: mean over the seeds, in brackets what covers it with 95 %; then the worst "
    "seed and the mean spend."
)
