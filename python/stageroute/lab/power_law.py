"""How a figure grows with the size of a problem: the exponent, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stageroute.checks import require
from stageroute.lab.columns import Of, column
from stageroute.lab.declared import Cell
from stageroute.lab.intervals import COVERAGE, RESAMPLES, SEED, Floats, Interval, Values
from stageroute.lab.runs import Key, Runs, group

__all__ = ["PowerLaw", "exponent", "fit_power_law", "law_of"]


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The mean is about factor · size^exponent."""

    exponent: Interval
    factor: float


def law_of(runs: Runs, size: Key, of: Of) -> PowerLaw | None:
    """Fit a power law to a figure of runs over their sizes; None for fewer than two sizes too."""
    groups = {found: members for (found,), members in group(runs, size).items()}
    if len(groups) < 2:
        return None
    return fit_power_law(list(groups), [column(members, of) for members in groups.values()])


def exponent(size: Key, of: Of) -> Cell:
    """Return what formats the exponent of a figure's growth; a dash where there is none."""

    def say(runs: Runs) -> str:
        law = law_of(runs, size, of)
        return "-" if law is None else law.exponent.text()

    return say


def fit_power_law(sizes: Sequence[float], samples: Sequence[Values]) -> PowerLaw | None:
    """Fit a power law to the means of samples, by least squares in logarithms.

    Every size has the same weight. The interval is that of the studentised bootstrap (Efron &
    Tibshirani 1993, section 12.5), which takes account of how few values there are at some sizes.

    Parameters
    ----------
    sizes : sequence of float
        At least two different ones, above 0.
    samples : sequence of array_like
        The figure at each size, over seeds.

    Returns
    -------
    PowerLaw or None
        None where a size has fewer than two values, which leave no interval; and where a mean, or
        more than a few of its resamples, is not positive: then there is no logarithm, and a power
        law would be the wrong picture.

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule.
    """
    require(len(samples) == len(sizes), "len(samples)", len(samples), "must be one for each size")
    require(len(set(sizes)) >= 2, "sizes", sizes, "must be at least two different ones")
    require(min(sizes) > 0, "sizes", sizes, "must be above 0")
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    if not all(sample.size > 1 and sample.mean() > 0 for sample in arrays):
        return None
    x = np.log(sizes)
    weights = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
    logs, slope, error = _slope(weights, [sample[None, :] for sample in arrays])
    generator = np.random.default_rng(SEED)
    draws = [
        sample[generator.integers(sample.size, size=(RESAMPLES, sample.size))] for sample in arrays
    ]
    _, slopes, errors = _slope(weights, draws)
    is_usable = np.isfinite(slopes) & (errors > 0)
    tails = (1.0 - COVERAGE) / 2.0, (1.0 + COVERAGE) / 2.0
    if np.isnan(slopes).mean() > tails[0]:
        return None
    pivots = (slopes[is_usable] - slope) / errors[is_usable]
    low, high = np.quantile(pivots, tails) if pivots.size else (0.0, 0.0)
    exponent = Interval(
        float(slope[0]), float(slope[0] - high * error[0]), float(slope[0] - low * error[0])
    )
    return PowerLaw(exponent, float(np.exp(logs.mean() - slope[0] * x.mean())))


def _slope(weights: Floats, samples: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """Return log-means, their slope and its standard error, by the delta method.

    Parameters
    ----------
    weights : ndarray, shape (sizes,)
        What each log-mean counts for in the slope.
    samples : sequence of ndarray, shape (resamples, n)
        One for each size. Where a mean is not positive, all is NaN.
    """
    logs, variances = [], []
    for sample in samples:
        mean = sample.mean(axis=1)
        mean = np.where(mean > 0, mean, np.nan)
        logs.append(np.log(mean))
        variances.append(sample.var(axis=1, ddof=1) / sample.shape[1] / mean**2)
    columns = np.column_stack(logs)
    return columns, columns @ weights, np.sqrt(np.column_stack(variances) @ weights**2)
