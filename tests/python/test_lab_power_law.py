"""Fitted exponents: exact on exact power laws, and intervals that cover what they should."""

import numpy as np
import pytest

from stageroute.lab.statistics import Interval, fit_power_law
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
def test_the_interval_covers_a_known_exponent_and_narrows_with_the_noise(exponent: float) -> None:
    """As many seeds as the study has at each size, and noise as skewed as regret's."""
    generator = np.random.default_rng(7)

    def interval(sigma: float) -> Interval:
        samples = [
            3.0 * size**exponent * generator.lognormal(0.0, sigma, size=seeds)
            for size, seeds in zip(SIZES, SEEDS, strict=True)
        ]
        fit = fit_power_law(SIZES, samples)
        assert fit is not None
        return fit.exponent

    wide = [interval(0.5) for _ in range(150)]
    assert np.mean([found.low <= exponent <= found.high for found in wide]) >= 0.9
    narrow = interval(0.05)
    assert narrow.high - narrow.low < 0.3 * np.median([found.high - found.low for found in wide])


@pytest.mark.parametrize(
    "middle", [[-3.0, 1.0, 1.0], [0.0, 0.0, 0.0], [-10.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0]]
)
def test_no_exponent_where_the_figure_is_not_positive(middle: list[float]) -> None:
    assert fit_power_law([10, 100, 1000], [[1.0, 2.0], middle, [3.0, 4.0]]) is None


def test_no_interval_over_one_value() -> None:
    assert fit_power_law([10, 100], [[1.0, 2.0], [3.0]]) is None
