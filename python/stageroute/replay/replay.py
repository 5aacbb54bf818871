"""Replay a stream through a policy, held to the rules, with what its decisions brought."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stageroute.datasets.streams import Stream
from stageroute.policies import Limits, Policy
from stageroute.policies.driver import drive
from stageroute.policies.rules import Referee

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
    feedback_counts : dict of str to float
        What became of feedback, and what was billed, for policies that keep books.
    over : dict of str to int
        How often each rule was broken; rules that were kept are left out. ``max_deployed`` counts
        stages, ``caps`` pairs of a stage and a model, ``probability`` queries without one.
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
    feedback_counts: dict[str, float]
    over: dict[str, int]
    seconds_routing: float
    seconds_deploying: float

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
    """Replay a stream; feedback comes as the stream says.

    Parameters
    ----------
    policy : Policy
        A fresh one: it learns while it is replayed.
    stream : Stream
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
    referee = Referee(policy, stream, limits)
    trace = drive(policy, stream, num_stages, referee, native=native)
    return ReplayResult(
        arm=trace.arm,
        probability=trace.probability,
        budget_price=trace.budget_price,
        reward=stream.table.reward[stream.rows, trace.arm],
        cost=stream.table.cost[stream.rows, trace.arm],
        stage_starts=trace.stage_starts,
        deployments=trace.deployments,
        lp_counts=policy.counts(),
        feedback_counts=policy.feedback_counts(),
        over=dict(referee.over),
        seconds_routing=trace.seconds_routing,
        seconds_deploying=trace.seconds_deploying,
    )
