"""What a replay amounts to: regret against the stage oracle, reward, spend, adherence, shares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stageroute.datasets.streams import Stream
from stageroute.policies.base import Floats, Limits
from stageroute.policies.driver import ReplayResult
from stageroute.policies.optimum import optimum, relaxed_price

RUNNING_SPEND_FROM = 1_000
"""The running spend is judged from this query on; before it, a few expensive visits dominate."""


@dataclass(frozen=True, eq=False, slots=True)
class OracleParts:
    """What an oracle earns, in parts of the stream during which its mixture is the same.

    For each part, shape (P,): its first query, its number of queries, the expected reward of a
    query, and the budget's dual price over all candidates, M_max apart, reward per USD; infinite
    where no mixture meets the budget.
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    reward: Floats
    budget_price: Floats

    def rewards(self) -> Floats:
        """Return the expected reward of every query, shape (T,)."""
        return np.repeat(self.reward, self.lengths)


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
    regret_after : float or None
        The same over the queries from the first change of the means on; None where none changes.
    overspend_charge : float
        What was spent beyond the budget over the whole stream, in expected costs and on starts, at
        the oracle's budget price of the moment: the reward that the money could have bought. At
        least 0, since money saved buys nothing. Added to the total regret it takes the advantage
        out of overspending; the sum is not negative for a policy that keeps to the throughput
        caps, where they and not M_max decide the oracle's set (weak duality).
    oracle_reward : float
        The oracle's mean expected reward.
    reward : float
        Mean reward observed.
    spend : float
        Total spend / (b T). All spends include what starting models cost, at the first query of
        their stage.
    spend_after : float or None
        Mean spend from the first change of the means on / b.
    start_spend : float
        What starting models cost / (b T).
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
    over : dict of str to int
        How often each rule was broken; see `ReplayResult`.
    """

    cumulative_regret: Floats
    regret: float
    regret_after: float | None
    overspend_charge: float
    oracle_reward: float
    reward: float
    spend: float
    spend_after: float | None
    start_spend: float
    running_spend: Floats
    worst_running_spend: float
    stage_violation: Floats
    shares: Floats
    stages_deployed: NDArray[np.int64]
    stage_budget_price: Floats
    over: dict[str, int]


def oracle_parts(
    stream: Stream,
    limits: Limits,
    starts: NDArray[np.int64],
    *,
    redeploys_at_once: bool = False,
) -> OracleParts:
    """Return what the stage oracle earns, where stages start at `starts`, shape (K,).

    It knows a change of the means at once; where it `redeploys_at_once`, which no policy can, it
    also deploys anew the moment a model arrives or retires.
    """
    changes = [regime.start for regime in stream.regimes]
    lives = np.concatenate([stream.arrivals, stream.retirements])
    moments = lives[lives < stream.num_queries] if redeploys_at_once else starts
    parts = np.unique(np.concatenate([starts, changes, moments]))
    # Many parts have the same candidates.
    known: dict[tuple[int, bytes], tuple[float, float]] = {}
    values = []
    for start in parts.tolist():
        stage = int(starts[np.searchsorted(starts, start, side="right") - 1])
        regime = stream.regime(start)
        candidates = stream.candidates(start if redeploys_at_once else stage)
        problem = regime.start, candidates.tobytes()
        if problem not in known:
            means = candidates, regime.reward, regime.cost, limits
            _, mixture = optimum(*means)
            known[problem] = float(regime.reward @ mixture), relaxed_price(*means)
        values.append(known[problem])
    reward, price = np.array(values).T
    lengths = np.diff([*parts, stream.num_queries])
    return OracleParts(parts, lengths, reward, price)


def waiting_cost(stream: Stream, limits: Limits, num_stages: int) -> float:
    """Return what the stage oracle loses in all because models that arrive wait for a boundary.

    The paper calls it the bottleneck of discovery; no policy can avoid it with these stages, and
    regret against the stage oracle does not contain it.
    """
    starts = stream.stage_starts(num_stages)
    at_once = oracle_parts(stream, limits, starts, redeploys_at_once=True)
    staged = oracle_parts(stream, limits, starts)
    return float(at_once.reward @ at_once.lengths - staged.reward @ staged.lengths)


def expected_outcomes(stream: Stream, arm: NDArray[np.uint32]) -> tuple[Floats, Floats]:
    """Return mean reward and cost, USD, of the model that served each query, each of shape (T,)."""
    reward, cost = np.empty(arm.size), np.empty(arm.size)
    for regime in stream.regimes:
        later = slice(regime.start, None)
        reward[later], cost[later] = regime.reward[arm[later]], regime.cost[arm[later]]
    return reward, cost


def measure(result: ReplayResult, stream: Stream, limits: Limits) -> ReplayMetrics:
    """Compute the figures of a replay."""
    starts, num_models = result.stage_starts, stream.table.num_models
    queries = np.arange(1, stream.num_queries + 1)
    lengths = np.diff([*starts, stream.num_queries])
    parts = oracle_parts(stream, limits, starts)
    oracle = parts.rewards()
    expected_reward, expected_cost = expected_outcomes(stream, result.arm)
    lost = oracle - expected_reward
    cumulative_regret = np.cumsum(lost)
    after = slice(stream.regimes[1].start, None) if len(stream.regimes) > 1 else None
    start_costs = np.zeros(stream.num_queries)
    start_costs[starts] = limits.start_cost * result.num_started()
    cost = result.cost + start_costs
    # Where the oracle cannot meet the budget either, money has no price.
    oracle_price = np.where(np.isfinite(parts.budget_price), parts.budget_price, 0.0)
    beyond = np.add.reduceat(expected_cost + start_costs, parts.starts)
    beyond -= limits.budget * parts.lengths
    running_spend = np.cumsum(cost) / (limits.budget * queries)
    stage_spend = np.add.reduceat(cost, starts) / lengths
    deployed = np.bincount(np.concatenate(result.deployments), minlength=num_models)
    is_finite = np.isfinite(result.budget_price)
    price_sum = np.add.reduceat(np.where(is_finite, result.budget_price, 0.0), starts)
    price_count = np.add.reduceat(is_finite.astype(np.int64), starts)
    return ReplayMetrics(
        cumulative_regret=cumulative_regret,
        regret=float(cumulative_regret[-1] / oracle.sum()),
        regret_after=None if after is None else float(lost[after].sum() / oracle[after].sum()),
        overspend_charge=max(0.0, float(oracle_price @ beyond)),
        oracle_reward=float(oracle.mean()),
        reward=float(result.reward.mean()),
        spend=float(running_spend[-1]),
        spend_after=None if after is None else float(cost[after].mean() / limits.budget),
        start_spend=float(start_costs.sum() / (limits.budget * stream.num_queries)),
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
        over=result.over,
    )
