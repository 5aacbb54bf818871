"""Replay a stream through a policy, stage by stage, in the native loop or step by step."""

import itertools
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stageroute._core import LateFeedback
from stageroute._core import replay as replay_natively
from stageroute.datasets.streams import Stream
from stageroute.policies import Policy

__all__ = ["ReplayResult", "replay"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class ReplayResult:
    """Every decision of a replay, and what it brought.

    Attributes
    ----------
    arm : ndarray of uint32, shape (T,)
        The column that served each query.
    probability, budget_price : ndarray, shape (T,)
        With what probability it was drawn; the budget's dual price, reward per USD.
    reward, cost : ndarray, shape (T,)
        The outcome, USD for costs.
    stage_starts : ndarray of int64, shape (K,)
        The first query of each stage.
    deployments : tuple of tuple of int
        The live columns of each stage.
    lp_counts : dict of str to int
        LPs by status, for policies that solve any.
    seconds_routing, seconds_deploying : float
        Wall-clock time in the loop and at stage boundaries.
    """

    arm: NDArray[np.uint32]
    probability: Floats
    budget_price: Floats
    reward: Floats
    cost: Floats
    stage_starts: NDArray[np.int64]
    deployments: tuple[tuple[int, ...], ...]
    lp_counts: dict[str, int]
    seconds_routing: float
    seconds_deploying: float

    def num_started(self) -> NDArray[np.int64]:
        """Return how many models each stage started, those of the first included, shape (K,)."""
        pairs = itertools.pairwise(((), *self.deployments))
        return np.array([len(set(live) - set(before)) for before, live in pairs])


def replay(policy: Policy, stream: Stream, num_stages: int, *, native: bool = True) -> ReplayResult:
    """Replay a stream; feedback comes as the stream says.

    Parameters
    ----------
    policy : Policy
        A fresh one: it learns while it is replayed.
    stream : Stream
    num_stages : int
        K; see `Stream.stage_starts`.
    native : bool, default True
        Whether each stage runs as one call of the native loop, where the policy has a native
        kernel, or query by query from Python: the same decisions.
    """
    starts = stream.stage_starts(num_stages)
    num_queries, table, told = stream.num_queries, stream.table, stream.told_reward()
    arm = np.zeros(num_queries, dtype=np.uint32)
    probability, budget_price = np.zeros(num_queries), np.zeros(num_queries)
    deployments: list[tuple[int, ...]] = []
    waiting: deque[tuple[int, int]] = deque()
    late = LateFeedback(stream.delay) if stream.delay else None
    seconds_routing = seconds_deploying = 0.0
    for start, end in zip(starts, [*starts[1:], num_queries], strict=True):
        before = time.perf_counter()
        deployments.append(policy.begin_stage(stream.candidates(int(start))))
        between = time.perf_counter()
        part = slice(int(start), int(end))
        outputs = arm[part], probability[part], budget_price[part]
        if native and policy.kernel is not None:
            replay_natively(policy.kernel, told, table.cost, stream.rows[part], *outputs, late)
        else:
            _replay_steps(policy, stream, part, waiting, *outputs)
        seconds_deploying += between - before
        seconds_routing += time.perf_counter() - between
    return ReplayResult(
        arm=arm,
        probability=probability,
        budget_price=budget_price,
        reward=table.reward[stream.rows, arm],
        cost=table.cost[stream.rows, arm],
        stage_starts=starts,
        deployments=tuple(deployments),
        lp_counts=policy.counts(),
        seconds_routing=seconds_routing,
        seconds_deploying=seconds_deploying,
    )


def _replay_steps(
    policy: Policy,
    stream: Stream,
    part: slice,
    waiting: deque[tuple[int, int]],
    arm: NDArray[np.uint32],
    probability: Floats,
    budget_price: Floats,
) -> None:
    """Do what the native loop does, in Python; `waiting` is the feedback that is on its way."""
    reward, cost = stream.told_reward(), stream.table.cost
    for t, row in enumerate(stream.rows[part].tolist()):
        chosen, p, price = policy.route(row)
        waiting.append((row, chosen))
        if len(waiting) > stream.delay:
            at = waiting.popleft()
            policy.observe(*at, float(reward[at]), float(cost[at]))
        arm[t], probability[t], budget_price[t] = chosen, p, price
