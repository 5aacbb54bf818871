"""Whether decisions are drawn with the probabilities that a policy reports."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from stageroute.policies.base import Floats, Policy, Setting
from stageroute.policies.rules import CHANCE, ROUNDING, broken

SEEDS: Final = 40
LEARNING: Final = 150
DRAWS: Final = 1_500

STEADY: Final = 0.02
"""Probabilities of all models that sum to 1 and no more than this are those of one distribution."""

RULE: Final = "frequency"


def check_frequencies(setting: Setting, make: Callable[[Setting], Policy]) -> None:
    """Check first decisions under many seeds, and many decisions without feedback between."""
    _check_seeds(setting, make)
    _check_draws(setting, make)


def _check_seeds(setting: Setting, make: Callable[[Setting], Policy]) -> None:
    """Compare first decisions: all know the same, so one live set has one distribution.

    A policy that draws more than it says is found out here: its models together get more than 1.
    """
    reported: defaultdict[tuple[int, ...], dict[int, float]] = defaultdict(dict)
    row = int(setting.stream.rows[0])
    for seed in range(SEEDS):
        policy = make(replace(setting, seed=seed))
        live = policy.begin_stage(setting.stream.candidates(0))
        arm, probability, _ = policy.route(row)
        distribution = reported[live]
        distribution[arm] = max(probability, distribution.get(arm, 0.0))
        if sum(distribution.values()) > 1.0 + ROUNDING:
            where = f"in stage 0, query 0, over {seed + 1} seeds"
            raise broken(policy, RULE, where, "probabilities that sum to 1", distribution)


def _check_draws(setting: Setting, make: Callable[[Setting], Policy]) -> None:
    """Count draws on one query after some learning, and hold them against what is reported."""
    stream = replace(setting.stream, delay=DRAWS)  # feedback may take as long
    table = stream.table
    policy = make(replace(setting, stream=stream))
    policy.begin_stage(stream.candidates(0))
    for row in stream.rows[:LEARNING].tolist():
        arm, _, _ = policy.route(row)
        policy.observe(row, arm, float(table.reward[row, arm]), float(table.cost[row, arm]))
    row = int(stream.rows[0])
    reported: defaultdict[int, list[float]] = defaultdict(list)
    for _ in range(DRAWS):
        arm, probability, _ = policy.route(row)
        reported[arm].append(probability)
    columns = {arm: np.array(p) for arm, p in sorted(reported.items())}
    # Without feedback some states go on all the same (time passes, shares are used up).
    is_steady = sum(p.max() for p in columns.values()) <= 1.0 + STEADY
    for arm, p in columns.items():
        _check_draws_of(policy, table.models[arm], p, is_steady=is_steady)


def _check_draws_of(policy: Policy, model: str, p: Floats, *, is_steady: bool) -> None:
    """Compare how often a model served with the probabilities reported when it did.

    Those of one distribution say how often. Others weigh its queries, 1 / p each, to the number of
    queries that it could serve, at most all.
    """
    if is_steady:
        scatter = CHANCE * np.sqrt(DRAWS * p.max() * max(1.0 - p.max(), 0.0)) + 1.0
        low, high = DRAWS * p.min() - scatter, DRAWS * p.max() + scatter
        is_so, expected, seen = low <= p.size <= high, f"{low:.0f} to {high:.0f} queries", p.size
    else:
        most = DRAWS + CHANCE * np.sqrt(((1.0 - p) / p**2).sum()) + 1.0 / p.min()
        seen = round((1.0 / p).sum())
        is_so, expected = seen <= most, f"1 / probability to sum to {most:.0f} at most"
    if not is_so:
        where = f"in stage 0, over {DRAWS} draws without feedback"
        raise broken(policy, RULE, where, f"{expected} for {model}", seen)
