"""Drives a policy over a stream, stage by stage, in the native loop or query by query."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stageroute._core import LateFeedback
from stageroute._core import replay as replay_natively
from stageroute.datasets.streams import Stream
from stageroute.policies.base import Floats, Message, Policy
from stageroute.policies.rules import Referee

__all__ = ["DecisionTrace", "drive"]


@dataclass(frozen=True, eq=False, slots=True)
class DecisionTrace:
    """Every decision of a policy on a stream.

    Attributes
    ----------
    arm : ndarray of uint32, shape (T,)
        The column that served each query.
    probability, budget_price : ndarray, shape (T,)
        With what probability it was drawn; the budget's dual price, reward per USD.
    stage_starts : ndarray of int64, shape (K,)
        The first query of each stage.
    deployments : tuple of tuple of int
        The live columns of each stage.
    seconds_routing, seconds_deploying : float
        Wall-clock time in the loop and at stage boundaries.
    """

    arm: NDArray[np.uint32]
    probability: Floats
    budget_price: Floats
    stage_starts: NDArray[np.int64]
    deployments: tuple[tuple[int, ...], ...]
    seconds_routing: float
    seconds_deploying: float


def drive(
    policy: Policy, stream: Stream, num_stages: int, referee: Referee, *, native: bool = True
) -> DecisionTrace:
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
    native = native and stream.messages is None and stream.announced is None
    mail: _Mail | None = None
    late = LateFeedback(stream.delay) if stream.delay else None
    seconds_routing = seconds_deploying = 0.0
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), num_queries], strict=True):
        candidates = stream.candidates(start)
        before = time.perf_counter()
        deployments.append(policy.begin_stage(candidates))
        seconds_deploying += time.perf_counter() - before
        referee.deployed(start, candidates, deployments[-1])
        part = slice(start, end)
        before = time.perf_counter()
        if native and policy.kernel is not None:
            outputs = arm[part], probability[part], budget_price[part]
            replay_natively(policy.kernel, told, table.cost, stream.rows[part], *outputs, late)
        else:
            mail = mail or _Mail(stream)
            _drive_steps(policy, stream, part, mail, arm, probability, budget_price)
        seconds_routing += time.perf_counter() - before
        referee.served(arm[part], probability[part])
    if stream.messages is not None and mail is not None:
        _deliver(policy, stream, mail.until(math.inf), arm)
    return DecisionTrace(
        arm, probability, budget_price, starts, tuple(deployments),
        seconds_routing, seconds_deploying,
    )  # fmt: skip


class _Mail:
    """The feedback of a stream on its way."""

    def __init__(self, stream: Stream) -> None:
        messages = stream.sent().arriving()
        columns = messages.at, messages.query, messages.has_reward, messages.has_cost
        self._messages = list(zip(*(column.tolist() for column in columns), strict=True))
        self._place = 0

    def until(self, t: float) -> Iterator[tuple[int, bool, bool]]:
        """Take out what arrives after the decision on query `t`: query, reward or not, cost."""
        while self._place < len(self._messages) and self._messages[self._place][0] <= t:
            _, *message = self._messages[self._place]
            self._place += 1
            yield tuple(message)


def _drive_steps(
    policy: Policy, stream: Stream, part: slice, mail: _Mail, arm: NDArray[np.uint32],
    probability: Floats, budget_price: Floats,
) -> None:  # fmt: skip
    """Do what the native loop does, in Python, however feedback comes."""
    told = stream.announced
    for t in range(part.start, part.stop):
        if told is not None and t == told.query:
            policy.announce_price(told.arm, told.factor)
        arm[t], probability[t], budget_price[t] = policy.route(int(stream.rows[t]))
        _deliver(policy, stream, mail.until(t), arm)


def _deliver(
    policy: Policy,
    stream: Stream,
    messages: Iterator[tuple[int, bool, bool]],
    arm: NDArray[np.uint32],
) -> None:
    rewards, costs = stream.told_reward(), stream.table.cost
    for query, has_reward, has_cost in messages:
        at = int(stream.rows[query]), int(arm[query])
        reward = float(rewards[at]) if has_reward else None
        cost = float(costs[at]) if has_cost else None
        policy.hear(Message(query, *at, reward, cost))
