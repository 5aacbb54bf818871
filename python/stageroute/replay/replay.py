"""Replay a stream through a policy, held to the rules, with what its decisions brought."""

import itertools
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from stageroute.datasets.streams import Stream
from stageroute.policies import Limits, Policy
from stageroute.policies.driver import DecisionTrace, drive
from stageroute.policies.rules import Referee

__all__ = ["ReplayResult", "replay"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ReplayResult(DecisionTrace):
    """Every decision of a replay, and what it brought; further fields as in `DecisionTrace`.

    Attributes
    ----------
    reward, cost : ndarray, shape (T,)
        The outcome, USD for costs.
    lp_counts : dict of str to int
        LPs by status, for policies that solve any.
    feedback_counts : dict of str to float
        What became of feedback, and what was billed, for policies that keep books.
    over : dict of str to int
        How often each rule was broken; rules that were kept are left out. ``max_deployed`` counts
        stages, ``caps`` pairs of a stage and a model, ``probability`` queries without one.
    """

    reward: Floats
    cost: Floats
    lp_counts: dict[str, int]
    feedback_counts: dict[str, float]
    over: dict[str, int]

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
    made = drive(policy, stream, num_stages, referee, native=native)
    return ReplayResult(
        **{field.name: getattr(made, field.name) for field in fields(made)},
        reward=stream.table.reward[stream.rows, made.arm],
        cost=stream.table.cost[stream.rows, made.arm],
        lp_counts=policy.counts(),
        feedback_counts=policy.feedback_counts(),
        over=dict(referee.over),
    )
