"""Intervals over seeds, by the bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import require

__all__ = [
    "Floats",
    "Interval",
    "Values",
    "bands",
    "ends",
    "mean_interval",
    "median_interval",
    "resampled",
]

RESAMPLES: Final = 2_000
COVERAGE: Final = 0.95
SEED: Final = 0xB007
"""Intervals are the same every time."""

Floats = NDArray[np.float64]
Values = Floats | Sequence[float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure over seeds, with the interval that covers it with a probability of 95 %."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 2, scale: float = 1.0) -> str:
        """Return it for a table: value (low to high)."""
        value, low, high = (f"{scale * x:.{digits}f}" for x in (self.value, self.low, self.high))
        return value if value == low == high else f"{value} ({low} to {high})"


def resampled(values: Values) -> Floats:
    """Draw samples of the same size, with replacement.

    Parameters
    ----------
    values : array_like, shape (n, ...)
        One entry for each seed.

    Returns
    -------
    ndarray, shape (2000, n, ...)

    Raises
    ------
    InvalidInputError
        If there is no value.
    """
    array = np.asarray(values, dtype=np.float64)
    require(len(array) > 0, "len(values)", len(array), "must be at least 1")
    draws = np.random.default_rng(SEED).integers(len(array), size=(RESAMPLES, len(array)))
    return np.asarray(array[draws])


def mean_interval(values: Values) -> Interval:
    """Return the mean, with the percentile bootstrap's interval (Efron & Tibshirani 1993)."""
    return _interval(float(np.mean(values)), resampled(values).mean(axis=1))


def median_interval(values: Values) -> Interval:
    """Return the median, with the percentile bootstrap's interval."""
    return _interval(float(np.median(values)), np.median(resampled(values), axis=1))


def bands(curves: Values) -> tuple[Floats, Floats, Floats]:
    """Return the mean of curves, shape (seeds, points), and what covers it, point by point."""
    low, high = np.quantile(resampled(curves).mean(axis=1), ends(), axis=0)
    return np.mean(curves, axis=0), low, high


def _interval(value: float, samples: Floats) -> Interval:
    low, high = np.quantile(samples, ends())
    return Interval(value, float(low), float(high))


def ends() -> tuple[float, float]:
    """Return the quantiles between which an interval lies."""
    return (1.0 - COVERAGE) / 2.0, (1.0 + COVERAGE) / 2.0
