"""Whether a difference is more than chance: permutation tests, corrected for how many there are."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from stageroute.lab.intervals import Floats, scipy_stats

__all__ = ["difference_of_means", "holm", "least_paired_p", "paired_p_values", "unpaired_p_values"]

RESAMPLES: Final = 1 << 16
"""Draws of the signs; up to 16 pairs all of them are tried."""

MOST_AT_ONCE: Final = 2_000_000
"""Numbers that are held at a time."""

SEED: Final = 0x51C5
"""Tests give the same every time."""


def paired_p_values(differences: Floats) -> Floats:
    """Test whether differences are as likely one way as the other (Fisher's sign-flip test).

    Two-sided; exact up to 16 pairs.

    Parameters
    ----------
    differences : ndarray, shape (n, m)
        n pairs, m quantities.

    Returns
    -------
    ndarray, shape (m,)
    """
    return _p_values((differences,), np.mean, "samples")


def least_paired_p(count: int) -> float:
    """Return the smallest p-value that this number of pairs can give."""
    exact = 2.0 ** (1 - count)
    return max(exact, 2.0 / (RESAMPLES + 1) if 2**count > RESAMPLES else 0.0) if count else 1.0


def unpaired_p_values(before: Floats, after: Floats) -> Floats:
    """Test whether two samples are alike in their means (Fisher's permutation test).

    Two-sided.

    Parameters
    ----------
    before, after : ndarray, shapes (n, m) and (k, m)
        n and k observations of m quantities.

    Returns
    -------
    ndarray, shape (m,)
    """
    return _p_values((after, before), difference_of_means, "independent")


def difference_of_means(after: Floats, before: Floats, axis: int) -> Floats:
    """Return the difference of the means along an axis."""
    return np.asarray(after.mean(axis=axis) - before.mean(axis=axis))


def _p_values(samples: tuple[Floats, ...], statistic: Any, kind: str) -> Floats:
    batch = max(1, MOST_AT_ONCE // sum(sample.size for sample in samples))
    tested = scipy_stats().permutation_test(
        samples, statistic, permutation_type=kind, vectorized=True, axis=0, n_resamples=RESAMPLES,
        batch=batch, rng=SEED,
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
