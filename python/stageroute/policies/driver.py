"""Replays a stream through a policy, stage by stage, in the native loop or query by query."""

import itertools
import math
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stageroute._core import LateFeedback
from stageroute._core import replay as replay_natively
from stageroute.datasets.streams import Stream
from stageroute.errors import PolicyError
from stageroute.policies.base import Floats, Limits, Message, Policy
from stageroute.policies.rules import Referee


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ReplayResult:
    """Every decision of a policy on a stream, and what it brought.

    Attributes
    ----------
    arm, probability, budget_price : ndarray, shape (T,)
        The column that served each query, with what probability, and money's price, reward per USD.
    reward, cost : ndarray, shape (T,)
        The outcome, USD for costs.
    stage_starts : ndarray of int64, shape (K,)
        The first query of each stage.
    deployments : tuple of tuple of int
        The live columns of each stage.
    seconds_routing, seconds_deploying : float
        Wall-clock time in the loop and at stage boundaries.
    lp_counts : dict of str to int
        LPs by status, for policies that solve any.
    feedback_counts : dict of str to float
        What became of feedback, and what was billed, for policies that keep books.
    over : dict of str to int
        How often each rule was broken; rules that were kept are left out. ``max_deployed`` counts
        stages, ``caps`` pairs of a stage and a model, ``probability`` queries without one.
    errors : dict of str to PolicyError
        The first break of each of them.
    """

    arm: NDArray[np.uint32]
    probability: Floats
    budget_price: Floats
    reward: Floats
    cost: Floats
    stage_starts: NDArray[np.int64]
    deployments: tuple[tuple[int, ...], ...]
    seconds_routing: float
    seconds_deploying: float
    lp_counts: dict[str, int]
    feedback_counts: dict[str, float]
    over: dict[str, int]
    errors: dict[str, PolicyError]

    def num_started(self) -> NDArray[np.int64]:
        """Return how many models each stage started, those of the first included, shape (K,)."""
        pairs = itertools.pairwise(((), *self.deployments))
        return np.array([len(set(live) - set(before)) for before, live in pairs])


def replay(
    policy: Policy,
    stream: Stream,
    num_stages: int,
    *,
    limits: Limits | None = None,
    native: bool = True,
) -> ReplayResult:
    """Replay a stream through a fresh policy; feedback comes as the stream says.

    Parameters
    ----------
    num_stages : int
        K; see `Stream.stage_starts`.
    limits : Limits, optional
        What goes over its caps or its `max_deployed` is counted in `ReplayResult.over`.
    native : bool, default True
        Whether each stage runs as one call of the native loop, where the policy has a native
        kernel, or query by query from Python: the same decisions.

    Raises
    ------
    PolicyError
        If the policy deploys a model that is not there, lets one serve that is not live, or reports
        a probability that is none.
    """
    starts, total = stream.stage_starts(num_stages), stream.num_queries
    arm = np.zeros(total, dtype=np.uint32)
    probability, budget_price = np.zeros(total), np.zeros(total)
    referee = Referee(policy, stream, limits)
    deployments: list[tuple[int, ...]] = []
    native = native and stream.messages is None and stream.announced is None
    steps: _Steps | None = None
    late = LateFeedback(stream.delay) if stream.delay else None
    seconds_routing = seconds_deploying = 0.0
    for start, end in itertools.pairwise([*starts.tolist(), total]):
        candidates = stream.candidates(start)
        before = time.perf_counter()
        deployments.append(policy.begin_stage(candidates))
        seconds_deploying += time.perf_counter() - before
        referee.deployed(start, candidates, deployments[-1])
        part = slice(start, end)
        outputs = arm[part], probability[part], budget_price[part]
        before = time.perf_counter()
        if native and policy.kernel is not None:
            told, cost = stream.told_reward(), stream.table.cost
            replay_natively(policy.kernel, told, cost, stream.rows[part], *outputs, late)
        else:
            steps = steps or _Steps(policy, stream, arm)
            steps.run(start, *outputs)
        seconds_routing += time.perf_counter() - before
        referee.served(*outputs[:2])
    if stream.messages is not None and steps is not None:
        steps.deliver(math.inf)
    return ReplayResult(
        arm=arm,
        probability=probability,
        budget_price=budget_price,
        reward=stream.table.reward[stream.rows, arm],
        cost=stream.table.cost[stream.rows, arm],
        stage_starts=starts,
        deployments=tuple(deployments),
        seconds_routing=seconds_routing,
        seconds_deploying=seconds_deploying,
        lp_counts=policy.counts(),
        feedback_counts=policy.feedback_counts(),
        over=dict(referee.over),
        errors=referee.errors,
    )


class _Steps:
    """Does what the native loop does, in Python, however feedback comes."""

    def __init__(self, policy: Policy, stream: Stream, arm: NDArray[np.uint32]) -> None:
        self._policy, self._stream, self._arm = policy, stream, arm
        sent = stream.sent().arriving()
        columns = sent.at, sent.query, sent.has_reward, sent.has_cost
        self._messages = deque(zip(*(column.tolist() for column in columns), strict=True))

    def run(
        self, start: int, arm: NDArray[np.uint32], probability: Floats, budget_price: Floats
    ) -> None:
        """Decide on as many queries from `start` on as there is room for."""
        news = self._stream.announced
        for k, row in enumerate(self._stream.rows[start : start + arm.size].tolist()):
            if news is not None and start + k == news.query:
                self._policy.announce_price(news.arm, news.factor)
            arm[k], probability[k], budget_price[k] = self._policy.route(row)
            self.deliver(start + k)

    def deliver(self, until: float) -> None:
        """Tell what arrives after the decision on that query."""
        rewards, costs = self._stream.told_reward(), self._stream.table.cost
        while self._messages and self._messages[0][0] <= until:
            _, query, has_reward, has_cost = self._messages.popleft()
            at = int(self._stream.rows[query]), int(self._arm[query])
            reward = float(rewards[at]) if has_reward else None
            cost = float(costs[at]) if has_cost else None
            self._policy.hear(Message(query, *at, reward, cost))
