"""Intervals over seeds, by the bootstrap."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import require
from stageroute.errors import MissingExtraError

__all__ = [
    "COVERAGE",
    "RESAMPLES",
    "SEED",
    "Floats",
    "Interval",
    "Values",
    "bands",
    "covering",
    "mean_interval",
    "median_interval",
    "scipy_stats",
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

    def text(self, digits: int = 2) -> str:
        """Return it for a table: value (low to high)."""
        value, low, high = (f"{x:z.{digits}f}" for x in (self.value, self.low, self.high))
        return value if value == low == high else f"{value} ({low} to {high})"


def mean_interval(values: Values) -> Interval:
    """Return the mean, with the percentile bootstrap's interval (Efron & Tibshirani 1993)."""
    low, high = covering(np.mean, values)
    return Interval(float(np.mean(values)), float(low), float(high))


def median_interval(values: Values) -> Interval:
    """Return the median, with the percentile bootstrap's interval."""
    low, high = covering(np.median, values)
    return Interval(float(np.median(values)), float(low), float(high))


def bands(curves: Values) -> tuple[Floats, Floats, Floats]:
    """Return the mean of curves, shape (seeds, points), and what covers it, point by point."""
    low, high = covering(np.mean, curves)
    return np.mean(curves, axis=0), low, high


def covering(statistic: Callable[..., Any], *samples: Values) -> tuple[Floats, Floats]:
    """Return the ends of the percentile bootstrap's interval of a statistic.

    Parameters
    ----------
    statistic : callable
        Of the samples, along `axis`.
    *samples : array_like, shape (n, ...)
        One entry for each seed; a sample of one has no spread.

    Raises
    ------
    InvalidInputError
        If a sample is empty.
    MissingExtraError
        If scipy is not installed.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    smallest = min(map(len, arrays))
    require(smallest > 0, "len(values)", smallest, "must be at least 1")
    if smallest == 1:
        arrays = [np.repeat(array, 2, axis=0) if len(array) == 1 else array for array in arrays]
    found = scipy_stats().bootstrap(
        arrays, statistic, axis=0, vectorized=True, n_resamples=RESAMPLES, batch=RESAMPLES // 4,
        confidence_level=COVERAGE, method="percentile", rng=SEED,
    )  # fmt: skip
    return found.confidence_interval.low, found.confidence_interval.high


def scipy_stats() -> Any:
    """Return `scipy.stats`, which is an extra."""
    try:
        import scipy.stats
    except ImportError as error:
        raise MissingExtraError("intervals need scipy: pip install 'stageroute[lab]'") from error
    return scipy.stats
