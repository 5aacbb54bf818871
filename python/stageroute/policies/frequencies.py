"""Whether decisions are drawn with the probabilities that a policy reports."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from stageroute.errors import PolicyError
from stageroute.policies.base import Policy, Setting
from stageroute.policies.rules import CHANCE, ROUNDING, broken

__all__ = ["check_frequencies"]

SEEDS: Final = 40
LEARNING: Final = 150
DRAWS: Final = 1_500

STEADY: Final = 0.02
"""Probabilities that differ by no more are those of one distribution."""

RULE: Final = "frequency"


def check_frequencies(setting: Setting, make: Callable[[Setting], Policy]) -> None:
    """Check the first decision under many seeds, and many decisions without feedback between them.

    Raises
    ------
    PolicyError
        If decisions are drawn otherwise than reported.
    """
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
    stream = replace(setting.stream, delay=DRAWS)  # so long may feedback take
    table = stream.table
    policy = make(replace(setting, stream=stream))
    policy.begin_stage(stream.candidates(0))
    for row in stream.rows[:LEARNING].tolist():
        arm, _, _ = policy.route(row)
        policy.observe(row, arm, float(table.reward[row, arm]), float(table.cost[row, arm]))
    row = int(stream.rows[0])
    decisions = [policy.route(row)[:2] for _ in range(DRAWS)]
    served = Counter(arm for arm, _ in decisions)
    for arm, times in sorted(served.items()):
        p = np.array([probability for chosen, probability in decisions if chosen == arm])
        error = _unlike(policy, table.models[arm], times, p)
        if error:
            raise error


def _unlike(policy: Policy, model: str, times: int, p: np.ndarray) -> PolicyError | None:
    """Compare how often a model served with the probabilities reported when it did."""
    where = f"in stage 0, over {DRAWS} draws without feedback"
    if p.min() < 1.0 and p.max() - p.min() <= STEADY:
        doubt = CHANCE * np.sqrt(DRAWS * p.mean() * (1.0 - p.mean())) + 1.0
        low, high = DRAWS * p.min() - doubt, DRAWS * p.max() + doubt
        if not low <= times <= high:
            expected = f"{low:.0f} to {high:.0f} queries for {model}"
            return broken(policy, RULE, where, expected, times)
        return None
    # The probabilities of its queries weigh them to their total number, or to less where it could
    # not serve them all: the policy's state goes on without feedback.
    weight, doubt = (1.0 / p).sum(), CHANCE * np.sqrt(((1.0 - p) / p**2).sum())
    if weight > DRAWS + doubt + 1.0 / p.min():
        expected = f"1 / probability to sum to at most {DRAWS + doubt:.0f} for {model}"
        return broken(policy, RULE, where, expected, f"{weight:.0f}")
    return None
