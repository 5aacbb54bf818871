"""Fitted exponents: exact on exact power laws, and intervals that cover what they should."""

import numpy as np
import pytest

from stageroute.errors import InvalidInputError
from stageroute.lab.statistics import fit_power_law
from stageroute.lab.studies.scaling import lengths, num_seeds

pytestmark = pytest.mark.slow

SIZES = lengths(10_000_000)
SEEDS = [num_seeds(size) for size in SIZES]


def test_an_exact_power_law_is_found_exactly() -> None:
    fit = fit_power_law(SIZES, [np.full(3, 5.0 * size**0.7) for size in SIZES])
    assert fit is not None
    assert (fit.exponent.value, fit.exponent.low, fit.exponent.high) == pytest.approx((0.7,) * 3)
    assert fit.factor == pytest.approx(5.0)


@pytest.mark.parametrize("exponent", [0.0, 0.5, 2.0 / 3.0, 1.0])
def test_the_interval_covers_a_known_exponent(exponent: float) -> None:
    """As many seeds as the study has at each size, and noise as skewed as regret's."""
    generator = np.random.default_rng(7)
    covered = []
    for _ in range(150):
        samples = [
            3.0 * size**exponent * generator.lognormal(0.0, 0.5, size=seeds)
            for size, seeds in zip(SIZES, SEEDS, strict=True)
        ]
        fit = fit_power_law(SIZES, samples)
        assert fit is not None
        covered.append(fit.exponent.low <= exponent <= fit.exponent.high)
    assert np.mean(covered) >= 0.9


def test_the_interval_narrows_with_the_noise() -> None:
    generator = np.random.default_rng(8)
    widths = []
    for sigma in (0.05, 0.5):
        samples = [size * generator.lognormal(0.0, sigma, size=10) for size in SIZES]
        fit = fit_power_law(SIZES, samples)
        assert fit is not None
        widths.append(fit.exponent.high - fit.exponent.low)
    assert widths[0] < 0.3 * widths[1]


@pytest.mark.parametrize(
    "middle", [[-3.0, 1.0, 1.0], [0.0, 0.0, 0.0], [-10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0]]
)
def test_no_exponent_where_the_figure_is_not_positive(middle: list[float]) -> None:
    assert fit_power_law([10, 100, 1000], [[1.0, 2.0], middle, [3.0, 4.0]]) is None


@pytest.mark.parametrize(
    ("sizes", "samples", "argument"),
    [
        ([10], [[1.0, 2.0]], "sizes"),
        ([10, 10], [[1.0, 2.0], [2.0, 3.0]], "sizes"),
        ([0, 10], [[1.0, 2.0], [2.0, 3.0]], "sizes"),
        ([10, 100], [[1.0, 2.0]], "samples"),
    ],
)
def test_refusals(sizes: list[float], samples: list[list[float]], argument: str) -> None:
    with pytest.raises(InvalidInputError, match=argument):
        fit_power_law(sizes, samples)


def test_no_interval_over_one_value() -> None:
    assert fit_power_law([10, 100], [[1.0, 2.0], [3.0]]) is None
