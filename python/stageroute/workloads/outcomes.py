"""What the models of a suite bring on each query."""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.datasets import OutcomeTable
from stageroute.datasets.portable import bell, exp, logistic
from stageroute.workloads.market import Suite, quality

Floats = NDArray[np.float64]

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


def suite_table(suite: Suite, num_rows: int, grades: int, seed: int, name: str) -> OutcomeTable:
    """Generate outcomes of a suite's models, the same on every platform.

    A reward is the mean of `grades` - 1 Bernoulli draws with the model's quality in the query's
    family; a cost is log-normal around the model's price, and long queries are long for all models.

    Parameters
    ----------
    suite : Suite
    num_rows : int
        Rows; families have their shares of them, up to one row.
    grades : int
        Values that a reward can have.
    seed : int
    name : str
        How reports call the table.
    """
    generator = np.random.Generator(np.random.PCG64([seed, OUTCOME_STREAM]))
    qualities = family_qualities(suite, generator)
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


def family_qualities(suite: Suite, generator: np.random.Generator) -> Floats:
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
