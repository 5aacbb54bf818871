"""Whether a difference is more than chance: permutation tests, corrected for how many there are."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["holm", "least_paired_p", "paired_p_values", "unpaired_p_values"]

MOST_EXACT: Final = 16
"""Up to so many pairs all signs are tried: 65,536."""

DRAWS: Final = 1 << MOST_EXACT
SEED: Final = 0x51C5
"""Tests give the same every time."""

ROUNDING: Final = 1e-9
"""Sums that differ by less, relatively, are the same sum in another order."""

Floats = NDArray[np.float64]


def paired_p_values(differences: Floats) -> Floats:
    """Test whether differences are as likely one way as the other (Fisher's sign-flip test).

    Two-sided; exact up to 16 pairs, else with 65,536 draws of the signs.

    Parameters
    ----------
    differences : ndarray, shape (n, m)
        n pairs, m quantities.

    Returns
    -------
    ndarray, shape (m,)
    """
    count = len(differences)
    flipped = np.abs(_signs(count) @ differences)
    return _share(flipped, np.abs(differences.sum(axis=0)), is_exact=count <= MOST_EXACT)


def least_paired_p(count: int) -> float:
    """Return the smallest p-value that so many pairs can give."""
    return max(2.0 ** (1 - count), 1.0 / (DRAWS + 1)) if count else 1.0


def unpaired_p_values(before: Floats, after: Floats) -> Floats:
    """Test whether two samples are alike in their means (Fisher's permutation test).

    Two-sided, with 65,536 draws of who belongs to which.

    Parameters
    ----------
    before, after : ndarray, shapes (n, m) and (k, m)
        n and k observations of m quantities.

    Returns
    -------
    ndarray, shape (m,)
    """
    weights = _assignments(len(before), len(after))
    pooled = np.concatenate([before, after])
    # Sums of many terms of one sign lose digits: only differences matter.
    drawn = np.abs(weights @ (pooled - pooled.mean(axis=0)))
    return _share(drawn, np.abs(after.mean(axis=0) - before.mean(axis=0)), is_exact=False)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values that hold for all tests together (Holm 1979), however they depend.

    Where all that are at most 0.05 are called differences, the probability that any of these is
    none is at most 0.05.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(np.asarray(p_values)[order] * factors)
    return [min(1.0, float(p_value)) for p_value in adjusted]


def _share(drawn: Floats, observed: Floats, *, is_exact: bool) -> Floats:
    """Share of what is drawn that is at least what was observed."""
    hits = np.count_nonzero(drawn >= observed * (1.0 - ROUNDING), axis=0)
    return np.asarray(hits / len(drawn) if is_exact else (hits + 1) / (len(drawn) + 1))


@lru_cache(maxsize=4)
def _signs(count: int) -> Floats:
    """All signs, or draws of them, shape (draws, count)."""
    if count <= MOST_EXACT:
        bits = np.arange(1 << count)[:, None] >> np.arange(count)
    else:
        bits = np.random.default_rng(SEED).integers(2, size=(DRAWS, count))
    return np.asarray(1.0 - 2.0 * (bits & 1))


@lru_cache(maxsize=4)
def _assignments(before: int, after: int) -> Floats:
    """Draws of who belongs to which, as weights of a difference of means."""
    generator = np.random.default_rng(SEED)
    order = generator.random((DRAWS, before + after)).argsort(axis=1)
    return np.where(order < before, -1.0 / before, 1.0 / after)
