"""How a figure grows with the size of a problem: the exponent, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stageroute.checks import require
from stageroute.lab.intervals import Floats, Interval, Values, ends, resampled

__all__ = ["PowerLaw", "fit_power_law"]


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The mean is about factor · size^exponent."""

    exponent: Interval
    factor: float


def fit_power_law(sizes: Sequence[float], samples: Sequence[Values]) -> PowerLaw | None:
    """Fit a power law to the means of samples, by least squares in logarithms.

    Every size has the same weight. The interval comes from resampling each size's sample.

    Parameters
    ----------
    sizes : sequence of float
        At least two different ones, above 0.
    samples : sequence of array_like
        The figure at each size, over seeds; at least one value each.

    Returns
    -------
    PowerLaw or None
        None where a mean, or more than a few of its resamples, is not positive: then there is no
        logarithm, and a power law would be the wrong picture.

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule.
    """
    require(len(samples) == len(sizes), "len(samples)", len(samples), "must be one for each size")
    require(len(set(sizes)) >= 2, "sizes", sizes, "must be at least two different ones")
    require(min(sizes) > 0, "sizes", sizes, "must be above 0")
    means = np.array([np.mean(sample) for sample in samples])
    if not np.all(means > 0):
        return None
    x, y = np.log(sizes), np.log(means)
    slopes = _slope(x, _resampled_logs(y, samples))
    if np.isnan(slopes).mean() > ends()[0]:
        return None
    low, high = np.nanquantile(slopes, ends())
    slope = float(_slope(x, y))
    factor = float(np.exp(y.mean() - slope * x.mean()))
    return PowerLaw(Interval(slope, float(low), float(high)), factor)


def _resampled_logs(log_means: Floats, samples: Sequence[Values]) -> Floats:
    """Return logarithms of resampled means, shape (resamples, sizes); NaN where not positive."""
    columns = []
    for log_mean, sample in zip(log_means, samples, strict=True):
        means = resampled(sample).mean(axis=1)
        logs = np.log(means, where=means > 0, out=np.full_like(means, np.nan))
        # The bootstrap's variance of a mean is too small by (n - 1) / n, which matters here:
        # large sizes have few seeds.
        n = len(sample)
        columns.append(log_mean + np.sqrt(n / max(1, n - 1)) * (logs - log_mean))
    return np.column_stack(columns)


def _slope(x: Floats, y: Floats) -> Floats:
    """Return the least-squares slope of y over its last axis."""
    centred = x - x.mean()
    return np.asarray(y @ centred / (centred @ centred))
