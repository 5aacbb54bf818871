"""Worlds that change in the middle of a stream, and the stage oracle of such a world."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import is_number, require
from stageroute.datasets import OutcomeTable
from stageroute.errors import InvalidInputError
from stageroute.metrics import RUNNING_SPEND_FROM, oracle_rewards
from stageroute.policies import Limits
from stageroute.streams import Stream

__all__ = ["Change", "PriceCut", "SilentRegression", "World", "WorldFigures", "change_world"]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]
Stages = NDArray[np.int64]

FACTOR_RULE = "must be in (0, 1): what is left"


class Change(Protocol):
    """What happens to one model in the middle of a stream."""

    def victim(self, table: OutcomeTable, arrived: Arms, budget: float) -> int:
        """Choose the model, of those that have arrived."""

    def apply(self, table: OutcomeTable, arm: int) -> OutcomeTable:
        """Return the outcomes from the change on."""


@dataclass(frozen=True, slots=True)
class SilentRegression:
    """The best affordable model gets worse and nobody says so: its rewards are scaled down.

    Affordable is what costs at most the budget on average; the cheapest model, if none does.
    """

    factor: float = 0.5

    def __post_init__(self) -> None:
        require(is_number(self.factor) and 0 < self.factor < 1, "factor", self.factor, FACTOR_RULE)

    def victim(self, table: OutcomeTable, arrived: Arms, budget: float) -> int:
        """Choose the model of highest mean reward among the affordable."""
        return _best_of(table, arrived, lambda cost: cost <= budget, np.argmin)

    def apply(self, table: OutcomeTable, arm: int) -> OutcomeTable:
        """Scale the model's rewards."""
        reward = table.reward.copy()
        reward[:, arm] *= self.factor
        return replace(table, reward=reward)


@dataclass(frozen=True, slots=True)
class PriceCut:
    """The best of the dear models becomes cheap: its costs are scaled down.

    Dear is what costs more than the budget on average; the dearest model, if none does.
    """

    factor: float = 0.1

    def __post_init__(self) -> None:
        require(is_number(self.factor) and 0 < self.factor < 1, "factor", self.factor, FACTOR_RULE)

    def victim(self, table: OutcomeTable, arrived: Arms, budget: float) -> int:
        """Choose the model of highest mean reward among the dear."""
        return _best_of(table, arrived, lambda cost: cost > budget, np.argmax)

    def apply(self, table: OutcomeTable, arm: int) -> OutcomeTable:
        """Scale the model's costs."""
        cost = table.cost.copy()
        cost[:, arm] *= self.factor
        return replace(table, cost=cost)


def _best_of(
    table: OutcomeTable,
    arrived: Arms,
    qualifies: Callable[[Floats], NDArray[np.bool_]],
    otherwise: Callable[[Floats], np.intp],
) -> int:
    cost = table.mean_cost()[arrived]
    chosen = arrived[qualifies(cost)]
    if chosen.size == 0:
        return int(arrived[otherwise(cost)])
    return int(chosen[np.argmax(table.mean_reward()[chosen])])


@dataclass(frozen=True, eq=False, slots=True)
class World:
    """A stream of queries whose outcomes may change on the way.

    Attributes
    ----------
    stream : Stream
        With the outcomes of the beginning.
    table : OutcomeTable
        The outcomes from `change_at` on.
    change_at : int or None
        The first query after the change.
    victim : int or None
        The column that changes.
    change : Change or None
        What happens to it.
    """

    stream: Stream
    table: OutcomeTable
    change_at: int | None = None
    victim: int | None = None
    change: Change | None = None

    def outcomes(self) -> tuple[Floats, Floats]:
        """Return reward and cost of every model on every query, each of shape (T, N)."""
        rows, before, after = self.stream.rows, self.stream.table, self.table
        split = self.stream.num_queries if self.change_at is None else self.change_at
        early, late = rows[:split], rows[split:]
        return (
            np.concatenate([before.reward[early], after.reward[late]]),
            np.concatenate([before.cost[early], after.cost[late]]),
        )

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
        stream, queries = self.stream, np.arange(self.stream.num_queries)
        cost = self.outcomes()[1][queries, arm]
        split = stream.num_queries if self.change_at is None else self.change_at
        best = oracle_rewards(stream, limits, starts)
        reward = stream.table.mean_reward()[arm]
        has_change = self.change_at is not None
        if has_change:
            # The oracle knows the change at once, and redeploys in the middle of the stage.
            later = replace(stream, table=self.table, regimes=())
            best[split:] = oracle_rewards(later, limits, starts)[split:]
            reward[split:] = self.table.mean_reward()[arm[split:]]
        running = np.cumsum(cost) / (limits.budget * (queries + 1))
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
    """Let something change in the middle of a stream."""
    if change is None:
        return World(stream, stream.table)
    middle = stream.num_queries // 2
    victim = change.victim(stream.table, stream.candidates(middle), budget)
    return World(stream, change.apply(stream.table, victim), middle, victim, change)
