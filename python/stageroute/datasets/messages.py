"""How feedback comes that is late, in parts, repeated, or missing; prices that are announced."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]


class PriceChange(NamedTuple):
    """A price that policies are told of.

    Attributes
    ----------
    query : int
        The first query at the new price.
    arm : int
        The model's column.
    factor : float
        What its price is multiplied by.
    """

    query: int
    arm: int
    factor: float


@dataclass(frozen=True, eq=False, slots=True)
class Messages:
    """What becomes known of the queries of a stream, and when; in the order of sending.

    Attributes
    ----------
    at : ndarray of int64, shape (n,)
        A message arrives after the decision on this query, before the next one.
    query : ndarray of int64, shape (n,)
        The query that it is about.
    has_reward, has_cost : ndarray of bool, shape (n,)
        What it says.
    """

    at: Whole
    query: Whole
    has_reward: Flags
    has_cost: Flags

    @classmethod
    def of_all(cls, num_queries: int, delay: int = 0) -> Self:
        """Return one message for each query, with reward and cost, `delay` queries late."""
        queries, both = np.arange(num_queries), np.ones(num_queries, dtype=np.bool_)
        return cls(queries + delay, queries, both, both)

    def arriving(self) -> Self:
        """Return them in the order of arrival."""
        return self._taken(np.argsort(self.at, kind="stable"))

    def apart(self, copies: int = 1) -> Self:
        """Return messages with rewards or costs alone, each a number of times."""
        whole = self._taken(np.repeat(np.arange(self.at.size), 2 * copies))
        is_reward = np.tile([True, False], self.at.size * copies)
        rewards, costs = whole.has_reward & is_reward, whole.has_cost & ~is_reward
        return replace(whole, has_reward=rewards, has_cost=costs).kept()

    def later(self, delay: Whole | int, *, where: Flags | bool = True) -> Self:
        """Return messages that come later by a number of queries."""
        return replace(self, at=self.at + np.where(where, delay, 0))

    def rated(self, is_rated: Flags) -> Self:
        """Return messages whose rewards come for some queries only, shape (T,)."""
        return replace(self, has_reward=self.has_reward & is_rated[self.query]).kept()

    def kept(self) -> Self:
        """Return those that say something."""
        return self._taken(np.flatnonzero(self.has_reward | self.has_cost))

    def _taken(self, places: NDArray[np.intp]) -> Self:
        flags = {"has_reward": self.has_reward[places], "has_cost": self.has_cost[places]}
        return replace(self, at=self.at[places], query=self.query[places], **flags)
