"""Drives a policy over a stream, stage by stage, in the native loop or query by query."""

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stageroute._core import LateFeedback
from stageroute._core import replay as replay_natively
from stageroute.datasets.streams import Stream
from stageroute.policies.base import Floats, Policy
from stageroute.policies.rules import Referee

__all__ = ["Trace", "drive"]


@dataclass(frozen=True, eq=False, slots=True)
class Trace:
    """Every decision on a stream; fields as in `ReplayResult`."""

    arm: NDArray[np.uint32]
    probability: Floats
    budget_price: Floats
    stage_starts: NDArray[np.int64]
    deployments: tuple[tuple[int, ...], ...]
    seconds_routing: float
    seconds_deploying: float


def drive(
    policy: Policy, stream: Stream, num_stages: int, referee: Referee, *, native: bool = True
) -> Trace:
    """Have a policy deploy and decide on every query; feedback comes as the stream says.

    Parameters
    ----------
    policy : Policy
        A fresh one.
    stream : Stream
    num_stages : int
        K; see `Stream.stage_starts`.
    referee : Referee
        Watches each stage; its time is not counted.
    native : bool, default True
        Whether each stage runs as one call of the native loop, where the policy has a kernel.
    """
    starts = stream.stage_starts(num_stages)
    num_queries, table, told = stream.num_queries, stream.table, stream.told_reward()
    arm = np.zeros(num_queries, dtype=np.uint32)
    probability, budget_price = np.zeros(num_queries), np.zeros(num_queries)
    deployments: list[tuple[int, ...]] = []
    waiting: deque[tuple[int, int]] = deque()
    late = LateFeedback(stream.delay) if stream.delay else None
    seconds_routing = seconds_deploying = 0.0
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), num_queries], strict=True):
        candidates = stream.candidates(start)
        before = time.perf_counter()
        deployments.append(policy.begin_stage(candidates))
        seconds_deploying += time.perf_counter() - before
        referee.deployed(start, candidates, deployments[-1])
        part = slice(start, end)
        outputs = arm[part], probability[part], budget_price[part]
        before = time.perf_counter()
        if native and policy.kernel is not None:
            replay_natively(policy.kernel, told, table.cost, stream.rows[part], *outputs, late)
        else:
            _drive_steps(policy, stream, part, waiting, *outputs)
        seconds_routing += time.perf_counter() - before
        referee.served(arm[part], probability[part])
    return Trace(
        arm, probability, budget_price, starts, tuple(deployments),
        seconds_routing, seconds_deploying,
    )  # fmt: skip


def _drive_steps(
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
        arm[t], probability[t], budget_price[t] = chosen, p, price
        waiting.append((row, chosen))
        if len(waiting) > stream.delay:
            at = waiting.popleft()
            policy.observe(*at, float(reward[at]), float(cost[at]))
