"""A market of language models: when they come out, how good they are, what they cost."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import is_whole, require
from stageroute.datasets.portable import bell, exp, logistic

Floats = NDArray[np.float64]

LN10: Final = 2.302585092994046
ELO_SCALE: Final = 400.0
"""Points of rating that make odds of ten to one."""

REFERENCE_RATING: Final = 1_182.0
"""Rating whose quality is 1/2: the median of the 209 models rated on the Chatbot Arena's board of
27 February 2025."""

MEAN_TOKENS: Final = (1_155, 211)
"""Tokens of a query and of its answer: the means of the conversations of the Azure LLM inference
trace of 2023."""

CENTRE_YEAR: Final = 1.4
CENTRE_RATING: Final = 1_250.0


def quality(rating: Floats) -> Floats:
    """Return the quality of models by their rating.

    The Bradley-Terry chance of winning against a model of the reference rating, which is what
    Elo-like ratings stand for: monotone, in (0, 1).
    """
    return logistic((rating - REFERENCE_RATING) * (LN10 / ELO_SCALE))


@dataclass(frozen=True, eq=False, slots=True)
class Suite:
    """Models in order of release.

    Attributes
    ----------
    names : tuple of str
    years : ndarray, shape (N,)
        Release, in years after 8 May 2023, ascending.
    rating : ndarray, shape (N,)
        Elo-like.
    cost : ndarray, shape (N,)
        USD for a query of `MEAN_TOKENS`.
    """

    names: tuple[str, ...]
    years: Floats
    rating: Floats
    cost: Floats


@dataclass(frozen=True, slots=True)
class Market:
    """How models are distributed over release, rating and price.

    rating = level + trend (years - 1.4) + noise, and log10 of the cost = level + trend (years -
    1.4) + slope (rating - 1250) / 100 + noise: better models cost more, and the same quality gets
    cheaper.

    Attributes
    ----------
    release_years : tuple of float
        First release, quartiles, last release; years after 8 May 2023.
    rating_level, rating_trend, rating_spread : float
        Points; per year; standard deviation of the noise.
    cost_level, cost_trend, cost_slope, cost_spread : float
        Powers of ten of USD per query; per year; per 100 points; standard deviation of the noise.
    cost_range : tuple of float
        The cheapest and the most expensive, USD per query.
    """

    release_years: tuple[float, float, float, float, float]
    rating_level: float
    rating_trend: float
    rating_spread: float
    cost_level: float
    cost_trend: float
    cost_slope: float
    cost_spread: float
    cost_range: tuple[float, float]


FITTED: Final = Market(
    release_years=(0.58, 1.22, 1.42, 1.61, 1.81),
    rating_level=1_258.3,
    rating_trend=107.9,
    rating_spread=52.3,
    cost_level=-2.880,
    cost_trend=-1.851,
    cost_slope=0.838,
    cost_spread=0.570,
    cost_range=(7.57e-5, 0.0473),
)
"""The market of the 48 models that the public lists price and rate (`read_public_lists`): 1.85
powers of ten a year is what the price of a given quality fell by."""


def fit_market(suite: Suite) -> Market:
    """Fit a market to models by least squares."""
    years, points = suite.years - CENTRE_YEAR, (suite.rating - CENTRE_RATING) / 100.0
    rating, rating_spread = _regression(suite.rating, years)
    cost, cost_spread = _regression(np.log10(suite.cost), years, points)
    first, low, middle, high, last = np.quantile(suite.years, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist()
    return Market(
        release_years=(first, low, middle, high, last),
        rating_level=rating[0],
        rating_trend=rating[1],
        rating_spread=rating_spread,
        cost_level=cost[0],
        cost_trend=cost[1],
        cost_slope=cost[2],
        cost_spread=cost_spread,
        cost_range=(float(suite.cost.min()), float(suite.cost.max())),
    )


def _regression(values: Floats, *regressors: Floats) -> tuple[list[float], float]:
    """Coefficients, intercept first, and the residuals' standard deviation."""
    design = np.column_stack([np.ones(values.size), *regressors])
    coefficients, *_ = np.linalg.lstsq(design, values)
    residuals = values - design @ coefficients
    degrees = max(1, values.size - design.shape[1])
    return coefficients.tolist(), float(np.sqrt(residuals @ residuals / degrees))


def draw_suite(num_models: int, seed: int, market: Market = FITTED) -> Suite:
    """Draw models from a market, the same on every platform.

    Parameters
    ----------
    num_models : int
        N, at least 1.
    seed : int
        Not negative.
    market : Market
        Noise is bell-shaped and within 3.5 standard deviations; costs are kept in `cost_range`.
    """
    ok = is_whole(num_models) and num_models >= 1
    require(ok, "num_models", num_models, "must be a whole number, at least 1")
    generator = np.random.Generator(np.random.PCG64(seed))
    order = (np.arange(num_models) + 0.5) / num_models
    years = np.interp(order, [0.0, 0.25, 0.5, 0.75, 1.0], market.release_years)
    since = years - CENTRE_YEAR
    rating = market.rating_level + market.rating_trend * since
    rating = rating + market.rating_spread * bell(generator, num_models)
    power = market.cost_level + market.cost_trend * since
    power = power + market.cost_slope * (rating - CENTRE_RATING) / 100.0
    power = power + market.cost_spread * bell(generator, num_models)
    cost = np.clip(exp(LN10 * power), *market.cost_range)
    digits = len(str(num_models - 1))
    names = tuple(f"model-{k:0{digits}d}" for k in range(num_models))
    return Suite(names, years, rating, cost)
