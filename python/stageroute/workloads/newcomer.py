"""One newcomer, better than what is there, in the middle of a stream."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np

from stageroute.checks import is_number, require
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import NEVER, Stream
from stageroute.workloads.base import OnTop

__all__ = ["NEWCOMER", "BetterNewcomer"]

NEWCOMER: Final = "newcomer"
"""Its name."""

ANSWER_STREAM: Final = 0x6E77
MOMENT_STREAM: Final = 0x6E78
"""Keep the draws of its answers, and of its arrival, apart from those of queries."""


@dataclass(frozen=True)
class BetterNewcomer(OnTop):
    """The base's models, all there from the start, and a better one that arrives.

    It is the base's best model of at most the median cost, improved: it costs the same on every
    query, and where that model earned r it earns r, or 1 with a probability that makes its mean so
    much higher.

    Parameters
    ----------
    base : Workload
        Without retirements, changes or reports of its own.
    advantage : float, default 0.1
        How much higher its mean reward is, above 0; as much as there is room for.
    earliest, latest : float, default 0.2 and 0.4
        It arrives between these shares of the stream, at a uniformly random query of each seed, so
        that stages of all lengths are hit alike.
    """

    advantage: float = 0.1
    earliest: float = 0.2
    latest: float = 0.4
    said = "a newcomer {advantage:g} better"
    kind: str = field(default="newcomer", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = is_number(self.advantage) and 0.0 < self.advantage < 1.0
        require(ok, "advantage", self.advantage, "must be a difference of mean rewards, in (0, 1)")
        ok = is_number(self.earliest) and is_number(self.latest)
        ok = ok and 0.0 < self.earliest <= self.latest < 1.0
        moments = (self.earliest, self.latest)
        require(ok, "earliest and latest", moments, "must be shares of the stream, in order")

    def table(self) -> OutcomeTable:
        """Return the base's outcomes with one column more."""
        return _with_newcomer(self.base.table(), self.advantage)

    def over(self, stream: Stream, seed: int) -> Stream:
        """Let the newcomer arrive."""
        is_plain = len(stream.regimes) == 1 and stream.reported_reward is None
        is_plain = is_plain and bool(np.all(stream.retirements == NEVER))
        require(is_plain, "base", self.base.label, "must have no retirements, changes or reports")
        table = _with_newcomer(stream.table, self.advantage)
        generator = np.random.default_rng([seed, MOMENT_STREAM])
        moment = generator.uniform(self.earliest, self.latest) * stream.num_queries
        arrivals = np.append(np.zeros(stream.table.num_models, dtype=np.int64), int(moment))
        retirements = np.full(table.num_models, NEVER)
        return replace(stream, table=table, arrivals=arrivals, retirements=retirements, regimes=())


@lru_cache(maxsize=4)
def _with_newcomer(table: OutcomeTable, advantage: float) -> OutcomeTable:
    reward, cost = table.mean_reward(), table.mean_cost()
    affordable = np.flatnonzero(cost <= np.median(cost))
    best = int(affordable[np.argmax(reward[affordable])])
    room = 1.0 - float(reward[best])
    require(advantage <= room, "advantage", advantage, f"must be at most {room:.3g} here")
    generator = np.random.default_rng(ANSWER_STREAM)
    is_improved = generator.random(table.num_rows) < advantage / room
    improved = np.where(is_improved, 1.0, table.reward[:, best])
    return replace(
        table,
        models=(*table.models, NEWCOMER),
        reward=np.column_stack([table.reward, improved]),
        cost=np.column_stack([table.cost, table.cost[:, best]]),
    )
