"""A market of language models: when they come out, how good they are, what they cost and bring."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import whole_in
from stageroute.datasets import OutcomeTable
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

FAMILY_SHARES: Final = {
    "chat": 0.30,
    "coding": 0.25,
    "knowledge": 0.20,
    "writing": 0.15,
    "mathematics": 0.10,
}
"""Families of tasks, with their share of the queries: chosen."""

FAMILY_SPREAD: Final = 0.56
"""Standard deviation, over models, of the log odds of success in a family less those overall. It is
0.52 for GSM8K and 0.60 for MBPP over RouterBench's 11 models (`ROUTERBENCH_MODELS`); for a
specialised benchmark of editing code, Aider's polyglot, against the Arena's rating it is 1.0."""

LENGTH_SPREAD: Final = 0.68
OWN_SPREAD: Final = 0.2
"""Standard deviations of the log cost: shared by all models of a query, and each model's own.
Together 0.71, as of list costs of the conversations of the Azure LLM inference trace of 2023 where
output is four times as expensive as input; how it is divided is chosen."""

OUTCOME_STREAM: Final = 0x6F75
"""Keeps the draws of outcomes apart from those of models."""


def quality(rating: Floats) -> Floats:
    """Return the quality of models by their rating.

    The Bradley-Terry chance of winning against a model of the reference rating, which is what
    Elo-like ratings stand for: monotone, in (0, 1).
    """
    return logistic((rating - REFERENCE_RATING) * (LN10 / ELO_SCALE))


@dataclass(frozen=True, eq=False, slots=True)
class Suite:
    """Models in order of release.

    For each its name, its release in years after 8 May 2023, ascending, its Elo-like rating, and
    what a query of `MEAN_TOKENS` costs, USD.
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
    level, trend, spread = _regression(suite.rating, years)
    base, fall, slope, noise = _regression(np.log10(suite.cost), years, points)
    cost_range = float(suite.cost.min()), float(suite.cost.max())
    first, low, middle, high, last = np.quantile(suite.years, [0.0, 0.25, 0.5, 0.75, 1.0]).tolist()
    release = first, low, middle, high, last
    return Market(release, level, trend, spread, base, fall, slope, noise, cost_range)


def _regression(values: Floats, *regressors: Floats) -> list[float]:
    """Coefficients, intercept first, and then the residuals' standard deviation."""
    design = np.column_stack([np.ones(values.size), *regressors])
    coefficients, *_ = np.linalg.lstsq(design, values)
    residuals = values - design @ coefficients
    degrees = max(1, values.size - design.shape[1])
    return [*coefficients.tolist(), float(np.sqrt(residuals @ residuals / degrees))]


def draw_suite(num_models: int, seed: int, market: Market = FITTED) -> Suite:
    """Draw models from a market, the same on every platform.

    Noise is bell-shaped and within 3.5 standard deviations; costs are kept in `cost_range`.
    """
    whole_in("[1, inf)")("num_models", num_models)
    generator = np.random.Generator(np.random.PCG64(seed))
    order = (np.arange(num_models) + 0.5) / num_models
    years = np.interp(order, [0.0, 0.25, 0.5, 0.75, 1.0], market.release_years)
    since = years - CENTRE_YEAR
    rating = market.rating_level + market.rating_trend * since
    rating += market.rating_spread * bell(generator, num_models)
    power = market.cost_level + market.cost_trend * since
    power += market.cost_slope * (rating - CENTRE_RATING) / 100.0
    power += market.cost_spread * bell(generator, num_models)
    cost = np.clip(exp(LN10 * power), *market.cost_range)
    digits = len(str(num_models - 1))
    names = tuple(f"model-{k:0{digits}d}" for k in range(num_models))
    return Suite(names, years, rating, cost)


def suite_table(suite: Suite, num_rows: int, grades: int, seed: int, name: str) -> OutcomeTable:
    """Generate outcomes of a suite's models, the same on every platform.

    A reward is the mean of `grades` - 1 Bernoulli draws with the model's quality in the query's
    family; a cost is log-normal around the model's price, and long queries are long for all models.
    Families have their shares of the rows, up to one row.
    """
    generator = np.random.Generator(np.random.PCG64([seed, OUTCOME_STREAM]))
    qualities = _family_qualities(suite, generator)
    edges = np.cumsum(list(FAMILY_SHARES.values())) * num_rows
    family = np.searchsorted(edges[:-1], np.arange(num_rows) + 0.5)
    generator.shuffle(family)
    reward = np.empty((num_rows, len(suite.names)))
    cost = np.empty_like(reward)
    length = LENGTH_SPREAD * bell(generator, num_rows)
    mean_cost = suite.cost / (_mean_exp(LENGTH_SPREAD) * _mean_exp(OWN_SPREAD))
    for row in range(num_rows):  # one at a time: a large pool is as large as memory should hold
        chance = qualities[family[row]]
        wins = sum(generator.random(chance.size) < chance for _ in range(grades - 1))
        reward[row] = wins / (grades - 1)
        own = OWN_SPREAD * bell(generator, chance.size)
        cost[row] = mean_cost * exp(length[row] + own)
    tasks = np.array(list(FAMILY_SHARES), dtype=np.str_)[family]
    return OutcomeTable(name, suite.names, reward, cost, task=tasks)


def _family_qualities(suite: Suite, generator: np.random.Generator) -> Floats:
    """Draw how good each model is in each family, shape (families, N).

    Weighted by the families' shares they are the model's quality.
    """
    overall = quality(suite.rating)
    tilt = [FAMILY_SPREAD * bell(generator, overall.size) for _ in FAMILY_SHARES]
    low, high = np.full(overall.size, -20.0), np.full(overall.size, 20.0)
    for _ in range(60):
        middle = (low + high) / 2.0
        mean = np.zeros(overall.size)
        for share, own in zip(FAMILY_SHARES.values(), tilt, strict=True):
            mean += share * logistic(middle + own)
        low = np.where(mean < overall, middle, low)
        high = np.where(mean < overall, high, middle)
    return np.array([logistic((low + high) / 2.0 + own) for own in tilt])


def _mean_exp(spread: float) -> float:
    """Mean of `exp(spread * bell(...))`: of four uniforms, each of width sqrt(3)."""
    half = spread * math.sqrt(3.0) / 2.0
    return (math.sinh(half) / half) ** 4
