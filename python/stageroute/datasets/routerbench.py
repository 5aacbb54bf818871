"""The built-in data set: generated from RouterBench's published figures.

No row of RouterBench is used or contained. Published, and used here:

- 11 models with their mean reward and mean cost over the 36,497 zero-shot queries, the sizes of
  the task families, the mean rewards on GSM8K and MBPP, the mean lengths of prompts and answers,
  the histogram of scores, and the share of queries no model answers (3.6 %): public analyses of
  RouterBench (Hu et al. 2024, arXiv 2403.12031) computed from its table, which agree with each
  other;
- mean cost per GSM8K query of four models: public per-data-set runs on the same table.

Not published for the zero-shot table, so chosen here: how a model's reward differs between the
other families (at random, once and for all, around what GSM8K and MBPP leave of its published mean,
so far that knowing the family is worth what it is on RouterBench's own rows), the spread of the
costs, and how strongly difficulty is shared (so that the share of unanswered queries is as
published).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import whole_in
from stageroute.datasets.portable import bell, bisect, exp, logistic
from stageroute.datasets.table import OutcomeTable

FloatArray = NDArray[np.float64]


class PublishedModel(NamedTuple):
    """Published figures of one model: mean rewards in [0, 1], mean cost in USD per query."""

    reward: float
    cost: float
    gsm8k_reward: float
    mbpp_reward: float
    gsm8k_cost_ratio: float
    """Mean cost of a GSM8K query over the mean cost of all queries."""
    output_price_ratio: float
    """List price of an output token over that of an input token."""


# Cost ratios: 0.00855 / 0.003293 (gpt-4) and 0.00604 / 0.002419 (claude-v2) are published; so are
# 0.00053 / 0.000243 (gpt-3.5) and 0.00039 / 0.000186 (Yi), as costs of a policy whose mean reward
# is that model's to four digits. The ratio depends on how much more output costs than input, so the
# other Claudes take claude-v2's, and the open models, which charge one price for both, take Yi's.
ROUTERBENCH_MODELS: dict[str, PublishedModel] = {
    "gpt-4-1106-preview": PublishedModel(0.7814, 0.003293, 0.6588, 0.6862, 2.596, 3),
    "zero-one-ai/Yi-34B-Chat": PublishedModel(0.6475, 0.000186, 0.5481, 0.3864, 2.097, 1),
    "claude-v2": PublishedModel(0.6358, 0.002419, 0.6626, 0.6417, 2.497, 3),
    "claude-v1": PublishedModel(0.6301, 0.002145, 0.6508, 0.5972, 2.497, 3),
    "gpt-3.5-turbo-1106": PublishedModel(0.6193, 0.000243, 0.6048, 0.6534, 2.181, 2),
    "claude-instant-v1": PublishedModel(0.5984, 0.000233, 0.6272, 0.6042, 2.497, 3),
    "mistralai/mixtral-8x7b-chat": PublishedModel(0.5471, 0.000135, 0.5190, 0.5410, 2.097, 1),
    "WizardLM/WizardLM-13B-V1.2": PublishedModel(0.4311, 0.000073, 0.5063, 0.3700, 2.097, 1),
    "meta/llama-2-70b-chat": PublishedModel(0.3287, 0.000203, 0.5230, 0.3302, 2.097, 1),
    "mistralai/mistral-7b-chat": PublishedModel(0.3061, 0.000046, 0.4115, 0.3443, 2.097, 1),
    "meta/code-llama-instruct-34b-chat": PublishedModel(0.2022, 0.000172, 0.4566, 0.5176, 2.097, 1),
}

# Month of the public release, from the makers' announcements; within a month, by day.
RELEASE_DATES: dict[str, str] = {
    "claude-instant-v1": "2023-03",
    "claude-v1": "2023-03",
    "claude-v2": "2023-07",
    "meta/llama-2-70b-chat": "2023-07",
    "WizardLM/WizardLM-13B-V1.2": "2023-07",
    "meta/code-llama-instruct-34b-chat": "2023-08",
    "mistralai/mistral-7b-chat": "2023-09",
    "gpt-3.5-turbo-1106": "2023-11",
    "gpt-4-1106-preview": "2023-11",
    "zero-one-ai/Yi-34B-Chat": "2023-11",
    "mistralai/mixtral-8x7b-chat": "2023-12",
}
RELEASE_ORDER: tuple[str, ...] = tuple(RELEASE_DATES)

TOTAL_QUERIES = 36_497
GSM8K, MBPP = "grade-school-math", "mbpp"
FAMILIES: dict[str, int] = {
    "mmlu": 14_042,
    "hellaswag": 10_042,
    GSM8K: 7_450,
    "arc-challenge": 1_470,
    "winogrande": 1_267,
    MBPP: 427,
    "mtbench": 80,
    "other": 1_719,
}

# Mean characters of prompt and answer; GSM8K and MBPP were asked with the same prompts throughout.
GSM8K_CHARS = (1_146, 584)
MBPP_CHARS = (97, 910)
# Mean prompt characters of the rest, where only ratios matter. For the others it is what the
# published overall mean of 2,736 leaves.
PROMPT_CHARS = {"hellaswag": 3_145, "arc-challenge": 2_061, "winogrande": 1_465}
OTHER_PROMPT_CHARS = 3_460

# GSM8K is scored in quarters. Of the 84,340 scores strictly between 0 and 1 in the table, nearly
# all of them GSM8K's, 16 % are 0.5; the rest are 0.25 or 0.75, in the share a model's mean needs.
GSM8K_LOW, GSM8K_MIDDLE, GSM8K_HIGH = 0.25, 0.5, 0.75
GSM8K_MIDDLE_SHARE = 0.16

# Chosen: how much a model's reward differs between the families without published means, as a
# standard deviation of log odds. With it, knowing a query's family is worth about what it is worth
# on RouterBench's own rows: the best mixture at b = 0.001 and caps of 0.5 earns 0.748.
FAMILY_SPREAD = 0.3
FAMILY_SEED = 240_312_031  # the families are part of the set, whatever the seed of its rows

DIFFICULTY_SLOPE = 1.95  # chosen: no model answers 3.6 % of the queries
LENGTH_SPREAD = 0.45  # chosen: standard deviation of the log cost, shared by all models of a query
OWN_SPREAD = 0.2  # chosen: the same, each model on its own
GRID = np.linspace(-1, 1, 129)[1::2] * math.sqrt(3)  # 64 midpoints of the difficulty's range


def routerbench_synthetic(num_queries: int = TOTAL_QUERIES, seed: int = 0) -> OutcomeTable:
    """Generate the built-in RouterBench-calibrated set.

    Each query belongs to a task family, has a difficulty shared by all models and a length shared
    by all costs. The mean reward of each model differs from the published one by less than 0.005
    at the default size, and its mean cost by less than 2 % (both are matched family by family, so
    what remains is rounding).

    Parameters
    ----------
    num_queries : int
        Rows, at least 1. Families have their published share, rounded.
    seed : int
        Not negative. The same seed gives the same table on every platform.

    Returns
    -------
    OutcomeTable
        11 models in the order of :data:`ROUTERBENCH_MODELS`; ``task`` is the family.

    Raises
    ------
    InvalidInputError
        ``num_queries`` or ``seed`` breaks its rule.
    """
    whole_in("[1, inf)")("num_queries", num_queries)
    whole_in("[0, inf)")("seed", seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    counts = _family_counts(num_queries)
    family = np.repeat(np.arange(len(FAMILIES)), counts)
    models = list(ROUTERBENCH_MODELS.values())
    reward = np.empty((num_queries, len(models)))
    cost = np.empty((num_queries, len(models)))
    means = [_family_rewards(column, model) for column, model in enumerate(models)]
    for index, name in enumerate(FAMILIES):
        rows = np.flatnonzero(family == index)
        if not len(rows):
            continue
        difficulty = _stratified(rng, len(rows))
        length = LENGTH_SPREAD * bell(rng, len(rows))
        for column, model in enumerate(models):
            reward[rows, column] = _rewards(rng, difficulty, name, means[column][name])
            spread = exp(length + OWN_SPREAD * bell(rng, len(rows)))
            mean = math.fsum(spread) / len(rows)
            cost[rows, column] = _family_cost(name, model) * spread / mean
    order = rng.permutation(num_queries)
    return OutcomeTable(
        name="built-in RouterBench-calibrated set",
        models=tuple(ROUTERBENCH_MODELS),
        reward=reward[order],
        cost=cost[order],
        query_id=np.array([f"query-{row}" for row in range(num_queries)], dtype=np.str_),
        task=np.array(list(FAMILIES), dtype=np.str_)[family[order]],
    )


def _family_counts(num_queries: int) -> NDArray[np.int64]:
    """Rows per family: the published shares, the largest remainders rounded up."""
    sizes = np.array(list(FAMILIES.values()))
    counts, remainders = np.divmod(num_queries * sizes, TOTAL_QUERIES)
    largest = np.argsort(-remainders, kind="stable")[: num_queries - counts.sum()]
    counts[largest] += 1
    return counts


def _family_rewards(column: int, model: PublishedModel) -> dict[str, float]:
    """Mean reward of a model in each family; weighted by size they are the published mean."""
    means = {GSM8K: model.gsm8k_reward, MBPP: model.mbpp_reward}
    others = [name for name in FAMILIES if name not in means]
    sizes = np.array([FAMILIES[name] for name in others])
    left = TOTAL_QUERIES * model.reward - sum(FAMILIES[name] * means[name] for name in means)
    generator = np.random.Generator(np.random.PCG64(FAMILY_SEED))
    uniform = generator.random((len(ROUTERBENCH_MODELS), len(others)))[column]
    tilt = FAMILY_SPREAD * math.sqrt(3) * (2 * uniform - 1)
    shift = bisect(lambda x: math.fsum(sizes * logistic(x + tilt)), left)
    return means | dict(zip(others, logistic(shift + tilt).tolist(), strict=True))


def _family_cost(name: str, model: PublishedModel) -> float:
    """Mean cost of a model in a family, USD; the families add up to the published mean."""
    price = model.output_price_ratio
    gsm8k = model.cost * model.gsm8k_cost_ratio
    mbpp_length = MBPP_CHARS[0] + price * MBPP_CHARS[1]
    mbpp = gsm8k * mbpp_length / (GSM8K_CHARS[0] + price * GSM8K_CHARS[1])
    published = {GSM8K: gsm8k, MBPP: mbpp}
    if name in published:
        return published[name]
    left = TOTAL_QUERIES * model.cost - FAMILIES[GSM8K] * gsm8k - FAMILIES[MBPP] * mbpp
    lengths = {family: PROMPT_CHARS.get(family, OTHER_PROMPT_CHARS) for family in FAMILIES}
    chars = sum(FAMILIES[family] * lengths[family] for family in FAMILIES.keys() - published)
    return left * lengths[name] / chars


def _rewards(
    rng: np.random.Generator, difficulty: FloatArray, name: str, mean: float
) -> FloatArray:
    """Rewards of one model on the queries of one family, shape (rows,)."""
    if name != GSM8K:
        return _hits(rng, _success_probability(mean, difficulty)).astype(np.float64)
    # mean = low + (high - low) (share of high + half the share of middle)
    high_share = (mean - GSM8K_LOW) / (GSM8K_HIGH - GSM8K_LOW) - GSM8K_MIDDLE_SHARE / 2
    high = _hits(rng, _success_probability(high_share, difficulty))
    middle_share = GSM8K_MIDDLE_SHARE / (1 - high_share)
    rewards = np.where(high, GSM8K_HIGH, GSM8K_LOW)
    others = np.flatnonzero(~high)
    middle = _hits(rng, np.full(len(others), middle_share))
    rewards[others[middle]] = GSM8K_MIDDLE
    return rewards


def _success_probability(mean: float, difficulty: FloatArray) -> FloatArray:
    """Logistic in the difficulty, shifted so that its average is `mean`."""
    on_grid = DIFFICULTY_SLOPE * GRID
    shift = bisect(lambda x: math.fsum(logistic(x - on_grid)) / len(GRID), mean)
    return logistic(shift - DIFFICULTY_SLOPE * difficulty)


def _hits(rng: np.random.Generator, probability: FloatArray) -> NDArray[np.bool_]:
    """Systematic sampling: row i is True with its probability, the total within 1 of its mean.

    The random order keeps the outcomes of different models independent given the difficulty.
    """
    order = rng.permutation(len(probability))
    # A running sum has one order of additions only, so it is the same on every platform.
    steps = np.floor(np.cumsum(np.concatenate(([rng.random()], probability[order]))))
    hits = np.empty(len(probability), dtype=np.bool_)
    hits[order] = np.diff(steps) > 0
    return hits


def _stratified(rng: np.random.Generator, rows: int) -> FloatArray:
    """Uniform with mean 0 and variance 1, one value in each of `rows` equal slices."""
    return (2 * (rng.permutation(rows) + rng.random(rows)) / rows - 1) * math.sqrt(3)
