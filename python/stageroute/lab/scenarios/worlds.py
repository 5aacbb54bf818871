"""Worlds that change in the middle of a stream, and what a run in one amounts to."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stageroute.datasets.streams import Stream
from stageroute.errors import InvalidInputError
from stageroute.policies import Limits
from stageroute.replay.metrics import RUNNING_SPEND_FROM, expected_rewards, oracle_rewards
from stageroute.workloads.changes import Change, PriceCut, change_stream

__all__ = ["World", "WorldFigures", "change_world"]

Floats = NDArray[np.float64]
Arms = NDArray[np.uint32]
Stages = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class World:
    """A stream of queries, and what changes on the way.

    Attributes
    ----------
    stream : Stream
        Its regimes say when means change.
    change_at : int or None
        The first query after the change.
    victim : int or None
        The column that changes.
    change : Change or None
        What happens to it.
    """

    stream: Stream
    change_at: int | None = None
    victim: int | None = None
    change: Change | None = None

    def outcomes(self) -> tuple[Floats, Floats]:
        """Return reward and cost of every model on every query, each of shape (T, N)."""
        table, rows = self.stream.table, self.stream.rows
        return table.reward[rows], table.cost[rows]

    def new_price(self) -> tuple[int, float]:
        """Return the model whose price changes, and what its price is multiplied by.

        Raises
        ------
        InvalidInputError
            If no price changes in this world.
        """
        if self.victim is None or not isinstance(self.change, PriceCut):
            raise InvalidInputError(
                f"change = {self.change!r}: only a PriceCut can be announced as a price"
            )
        return self.victim, self.change.factor

    def measure(self, arm: Arms, limits: Limits, starts: Stages) -> "WorldFigures":
        """Compute what the decisions of a run amount to; `starts` are those of the stages."""
        stream, has_change = self.stream, self.change_at is not None
        cost = stream.table.cost[stream.rows, arm]
        split = stream.num_queries if self.change_at is None else self.change_at
        best = oracle_rewards(stream, limits, starts)
        reward = expected_rewards(stream, arm)
        running = np.cumsum(cost) / (limits.budget * np.arange(1, stream.num_queries + 1))
        first = min(RUNNING_SPEND_FROM, stream.num_queries) - 1
        lost = best - reward
        return WorldFigures(
            regret=float(lost.sum() / best.sum()),
            regret_after=float(lost[split:].sum() / best[split:].sum()) if has_change else None,
            reward=float(reward.mean()),
            spent=float(cost.sum()),
            spend=float(running[-1]),
            spend_after=float(cost[split:].mean() / limits.budget) if has_change else None,
            worst_running_spend=float(running[first:].max()),
        )


@dataclass(frozen=True, slots=True)
class WorldFigures:
    """What the decisions of a run amount to.

    Attributes
    ----------
    regret, regret_after : float
        Expected reward lost against the stage oracle as a share of its reward; of the whole stream,
        and of its queries after the change.
    reward : float
        Mean expected reward.
    spent : float
        USD.
    spend, spend_after : float
        Mean cost as a multiple of the budget, likewise.
    worst_running_spend : float
        The largest spend so far / budget so far from query 1,000 on.
    """

    regret: float
    regret_after: float | None
    reward: float
    spent: float
    spend: float
    spend_after: float | None
    worst_running_spend: float


def change_world(stream: Stream, change: Change | None, budget: float) -> World:
    """Let something change in the middle of a stream; affordable is what the budget pays for."""
    if change is None:
        return World(stream)
    middle = stream.num_queries // 2
    victim = replace(change, budget=budget).victim(stream.regimes[0], stream.candidates(middle))
    return World(change_stream(stream, change, middle, victim), middle, victim, change)
