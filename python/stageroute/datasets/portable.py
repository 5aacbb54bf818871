"""Functions that give the same bits on every platform, for generated data sets.

Only sums, products and quotients, which IEEE 754 rounds the same way everywhere; `numpy.exp` and
the tails of `standard_normal` differ in the last bit between processors.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def bell(rng: np.random.Generator, rows: int) -> FloatArray:
    """Nearly normal with mean 0 and variance 1: a sum of four uniforms, in |x| < 3.5.

    Not `rng.standard_normal`, whose tails call the platform's logarithm.
    """
    a, b, c, d = rng.random((4, rows))
    total: FloatArray = ((a + b) + c) + d
    return (total - 2) * math.sqrt(3)


def exp(x: FloatArray) -> FloatArray:
    """Approximate e**x for |x| < 40, to a relative x**2 / 8192."""
    power = 1 + x / 4096
    for _ in range(12):
        power = power * power
    return power


def logistic(x: FloatArray) -> FloatArray:
    """Return the probability of log odds."""
    return 1 / (1 + exp(-x))


def bisect(increasing: Callable[[float], float], value: float) -> float:
    """Where an increasing function of log odds takes a value."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if increasing(middle) < value:
            low = middle
        else:
            high = middle
    return (low + high) / 2
