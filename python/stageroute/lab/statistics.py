"""Statistics over seeds: intervals by the bootstrap, tests by permutation, fitted power laws."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import import_extra, require

COVERAGE: Final = 0.95
RESAMPLES: Final = 2_000
SEED: Final = 0xB007
"""Intervals are the same every time."""

SIGNS: Final = 1 << 16
"""Draws of the signs, or of the groups, in a test; up to 16 pairs all of them are tried."""

TEST_SEED: Final = 0x51C5
MOST_AT_ONCE: Final = 2_000_000
"""Numbers that a test holds at a time."""

Floats = NDArray[np.float64]
Values = Floats | Sequence[float]


# ---- intervals ----------------------------------------------------------------------------------


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


def interval_of(statistic: Callable[..., Any], values: Values) -> Interval:
    """Return a statistic of one number for each seed, with what covers it; see `covering`."""
    low, high = covering(statistic, values)
    return Interval(float(statistic(values, axis=0)), float(low), float(high))


def covering(statistic: Callable[..., Any], *samples: Values) -> tuple[Floats, Floats]:
    """Return the ends of the percentile bootstrap's interval (Efron & Tibshirani 1993).

    The statistic is of samples of shape (seeds, ...), along `axis`; one seed has no spread.
    """
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    smallest = min(map(len, arrays))
    require(smallest > 0, "len(values)", smallest, "must be at least 1")
    if smallest == 1:
        arrays = [np.repeat(array, 2, axis=0) if len(array) == 1 else array for array in arrays]
    found = import_extra("scipy.stats", "an interval", "lab").bootstrap(
        arrays, statistic, axis=0, vectorized=True, n_resamples=RESAMPLES, batch=RESAMPLES // 4,
        confidence_level=COVERAGE, method="percentile", rng=SEED,
    )  # fmt: skip
    return found.confidence_interval.low, found.confidence_interval.high


# ---- tests --------------------------------------------------------------------------------------


def paired_p_values(differences: Floats) -> Floats:
    """Test whether differences are as likely one way as the other (Fisher's sign-flip test).

    Two-sided; exact up to 16 pairs. `differences` has shape (pairs, quantities).
    """
    return _p_values((differences,), np.mean, "samples")


def least_paired_p(count: int) -> float:
    """Return the smallest p-value that this number of pairs can give."""
    exact = 2.0 ** (1 - count)
    return max(exact, 2.0 / (SIGNS + 1) if 2**count > SIGNS else 0.0) if count else 1.0


def unpaired_p_values(before: Floats, after: Floats) -> Floats:
    """Test whether two samples are alike in their means (Fisher's permutation test).

    Two-sided. The samples have shapes (n, quantities) and (k, quantities).
    """
    return _p_values((after, before), difference_of_means, "independent")


def difference_of_means(after: Floats, before: Floats, axis: int) -> Floats:
    """Return the difference of the means along an axis."""
    return np.asarray(after.mean(axis=axis) - before.mean(axis=axis))


def _p_values(samples: tuple[Floats, ...], statistic: Any, kind: str) -> Floats:
    batch = max(1, MOST_AT_ONCE // sum(sample.size for sample in samples))
    tested = import_extra("scipy.stats", "a test", "lab").permutation_test(
        samples, statistic, permutation_type=kind, vectorized=True, axis=0, n_resamples=SIGNS,
        batch=batch, rng=TEST_SEED,
    )  # fmt: skip
    return np.asarray(tested.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all tests together (Holm 1979), however they depend.

    Where all that are at most 0.05 are called differences, the probability that any of these is
    none is at most 0.05.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    return [float(p_value) for p_value in np.minimum(adjusted, 1.0)]


# ---- power laws ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """The mean is about factor · size^exponent."""

    exponent: Interval
    factor: float


def fit_power_law(sizes: Sequence[float], samples: Sequence[Values]) -> PowerLaw | None:
    """Fit a power law to the means of samples, by least squares in logarithms.

    Every size has the same weight. The interval is that of the studentised bootstrap (Efron &
    Tibshirani 1993, section 12.5), which takes account of how few values there are at some sizes.
    None where a size has fewer than two values, which leave no interval; and where a mean, or more
    than a few of its resamples, is not positive: then there is no logarithm, and a power law would
    be the wrong picture.
    """
    require(len(samples) == len(sizes), "len(samples)", len(samples), "must be one for each size")
    require(len(set(sizes)) >= 2, "sizes", sizes, "must be at least two different ones")
    require(min(sizes) > 0, "sizes", sizes, "must be above 0")
    arrays = [np.asarray(sample, dtype=np.float64) for sample in samples]
    if not all(sample.size > 1 and sample.mean() > 0 for sample in arrays):
        return None
    x = np.log(sizes)
    weights = slope_weights(x)
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
    ends = (float(slope[0] - pivot * error[0]) for pivot in (high, low))
    exponent = Interval(float(slope[0]), *ends)
    return PowerLaw(exponent, float(np.exp(logs.mean() - slope[0] * x.mean())))


def slope_weights(x: Floats) -> Floats:
    """Return what heights at x count for in the slope of their regression line."""
    centred = x - x.mean()
    return np.asarray(centred / np.sum(centred**2))


def _slope(weights: Floats, samples: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
    """Return log-means, their slope and its standard error, by the delta method.

    `samples` has an array of shape (resamples, n) for each size. Where a mean is not positive, all
    is NaN.
    """
    logs, variances = [], []
    for sample in samples:
        mean = sample.mean(axis=1)
        mean = np.where(mean > 0, mean, np.nan)
        logs.append(np.log(mean))
        variances.append(sample.var(axis=1, ddof=1) / sample.shape[1] / mean**2)
    columns = np.column_stack(logs)
    return columns, columns @ weights, np.sqrt(np.column_stack(variances) @ weights**2)
