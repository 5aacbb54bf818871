"""What a replay amounts to: regret against the stage oracle, reward, spend, adherence, shares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stageroute.policies import Limits
from stageroute.policies.oracles import optimum
from stageroute.replay import ReplayResult
from stageroute.streams import Stream

__all__ = [
    "RUNNING_SPEND_FROM",
    "ReplayMetrics",
    "expected_rewards",
    "measure",
    "oracle_rewards",
]

Floats = NDArray[np.float64]

RUNNING_SPEND_FROM = 1_000
"""The running spend is judged from this query on; before it, a few dear visits dominate."""


@dataclass(frozen=True, eq=False, slots=True)
class ReplayMetrics:
    """Figures of one replay.

    Attributes
    ----------
    cumulative_regret : ndarray, shape (T,)
        Σ over queries of the stage oracle's expected reward less the mean reward of the chosen
        model: luck in single outcomes cancels out of it. Negative where a policy overspends.
    regret : float
        Its last value as a share of the oracle's total.
    oracle_reward : float
        The oracle's mean expected reward.
    reward : float
        Mean reward observed.
    spend : float
        Total spend / (b T).
    running_spend : ndarray, shape (T,)
        Spend up to each query / (b t).
    worst_running_spend : float
        Its largest value from query 1,000 on (from the last one, for shorter streams).
    stage_violation : ndarray, shape (K,)
        Mean spend of each stage / b - 1, at least 0.
    shares : ndarray, shape (N,)
        Share of queries that each model served.
    stages_deployed : ndarray of int64, shape (N,)
        Number of stages in which each model was live.
    stage_budget_price : ndarray, shape (K,)
        Mean dual price of the budget in each stage over the queries where it is finite, reward per
        USD; NaN where it never is.
    """

    cumulative_regret: Floats
    regret: float
    oracle_reward: float
    reward: float
    spend: float
    running_spend: Floats
    worst_running_spend: float
    stage_violation: Floats
    shares: Floats
    stages_deployed: NDArray[np.int64]
    stage_budget_price: Floats


def oracle_rewards(stream: Stream, limits: Limits, starts: NDArray[np.int64]) -> Floats:
    """Return the stage oracle's expected reward on each query, shape (T,).

    It knows a change of the means at once, and redeploys in the middle of the stage.
    """
    changes = [regime.start for regime in stream.regimes]
    parts = np.union1d(starts, changes)
    values = []
    # Many stages have the same candidates.
    known: dict[tuple[int, bytes], float] = {}
    for start in parts.tolist():
        stage = int(starts[np.searchsorted(starts, start, side="right") - 1])
        regime, candidates = stream.regime(start), stream.candidates(stage)
        problem = regime.start, candidates.tobytes()
        if problem not in known:
            _, mixture = optimum(candidates, regime.reward, regime.cost, limits)
            known[problem] = float(regime.reward @ mixture)
        values.append(known[problem])
    return np.repeat(values, np.diff([*parts, stream.num_queries]))


def expected_rewards(stream: Stream, arm: NDArray[np.uint32]) -> Floats:
    """Return the mean reward of the model that served each query, shape (T,)."""
    expected = stream.regimes[0].reward[arm]
    for regime in stream.regimes[1:]:
        expected[regime.start :] = regime.reward[arm[regime.start :]]
    return expected


def measure(result: ReplayResult, stream: Stream, limits: Limits) -> ReplayMetrics:
    """Compute the figures of a replay."""
    starts, num_models = result.stage_starts, stream.table.num_models
    queries = np.arange(1, stream.num_queries + 1)
    lengths = np.diff([*starts, stream.num_queries])
    oracle = oracle_rewards(stream, limits, starts)
    cumulative_regret = np.cumsum(oracle - expected_rewards(stream, result.arm))
    running_spend = np.cumsum(result.cost) / (limits.budget * queries)
    stage_spend = np.add.reduceat(result.cost, starts) / lengths
    deployed = np.bincount(np.concatenate(result.deployments), minlength=num_models)
    is_finite = np.isfinite(result.budget_price)
    price_sum = np.add.reduceat(np.where(is_finite, result.budget_price, 0.0), starts)
    price_count = np.add.reduceat(is_finite.astype(np.int64), starts)
    return ReplayMetrics(
        cumulative_regret=cumulative_regret,
        regret=float(cumulative_regret[-1] / oracle.sum()),
        oracle_reward=float(oracle.mean()),
        reward=float(result.reward.mean()),
        spend=float(running_spend[-1]),
        running_spend=running_spend,
        worst_running_spend=float(
            running_spend[min(RUNNING_SPEND_FROM, stream.num_queries) - 1 :].max()
        ),
        stage_violation=np.maximum(stage_spend / limits.budget - 1.0, 0.0),
        shares=np.bincount(result.arm, minlength=num_models) / stream.num_queries,
        stages_deployed=deployed,
        stage_budget_price=np.divide(
            price_sum, price_count, out=np.full(starts.size, np.nan), where=price_count > 0
        ),
    )
