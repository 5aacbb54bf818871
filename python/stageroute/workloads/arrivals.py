"""When models arrive and queries come, on top of any workload."""

from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import is_number, is_text, must, require
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import NEVER, Stream
from stageroute.datasets.trace import Trace, read_trace, synthetic_trace
from stageroute.workloads.base import Inner, OnTop, Share

NEWCOMER: Final = "newcomer"
"""The better newcomer's name."""

ARRIVAL_STREAM: Final = 0xA221
ANSWER_STREAM: Final = 0x6E77
MOMENT_STREAM: Final = 0x6E78
CLOCK_STREAM: Final = 0x636C
"""Keep the draws of arrivals, of the newcomer's answers and of its moment, and of the clock apart
from those of queries."""


@dataclass(frozen=True)
class RandomArrivals(OnTop):
    """Models arrive at random, whenever they are released, and not at even distances.

    Those that a base workload does not have at the start come at independent, uniformly random
    queries, anew for every seed. Even arrivals are in step with stages of some lengths and out of
    step with others; what waiting for a stage boundary costs can only be compared between lengths
    where they are not.

    Parameters
    ----------
    within : float, default 1.0
        The share of the stream in which all of them come, in (0, 1]; the smaller, the faster.
    """

    within: Share = 1.0
    said = "random arrivals"
    kind: str = field(default="arrivals", init=False)

    @property
    def label(self) -> str:
        """How tables call it."""
        speed = "" if self.within == 1.0 else f" within {self.within:.0%} of the stream"
        return super().label + speed

    def over(self, stream: Stream, seed: int) -> Stream:
        """Draw arrivals anew."""
        arrivals = stream.arrivals.copy()
        is_later = arrivals > 0
        last = max(1, round(self.within * stream.num_queries))
        generator = np.random.default_rng([seed, ARRIVAL_STREAM])
        arrivals[is_later] = np.sort(generator.integers(last, size=int(is_later.sum())))
        return replace(stream, arrivals=arrivals)


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

    advantage: Inner = 0.1
    earliest: float = 0.2
    latest: float = 0.4
    said = "a newcomer {advantage:g} better"
    kind: str = field(default="newcomer", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        moments = (self.earliest, self.latest)
        ok = all(map(is_number, moments)) and 0.0 < self.earliest <= self.latest < 1.0
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


@dataclass(frozen=True)
class Clocked(OnTop):
    """Queries come when a trace of real requests says: stages are equally long by the clock.

    Busy stages have more queries than quiet ones. Models arrive at the same queries as without.

    Parameters
    ----------
    trace : str, optional
        A parquet file with the column ``t_s``, as `read_trace` reads it; a generated hour-like
        stream by default (`synthetic_trace`).

    Notes
    -----
    A trace with too few requests is repeated, one after the other, until there are enough; of more
    than enough, as many as needed are drawn at random, by the seed: the shape of the load stays.
    """

    trace: Annotated[str, must(is_text, "must name a file")] | None = None
    said = "clocked"
    kind: str = field(default="clocked", init=False)

    def over(self, stream: Stream, seed: int) -> Stream:
        """Say when each query comes."""
        num_queries = stream.num_queries
        if self.trace is None:
            # A trace has two requests and more.
            times = synthetic_trace(max(2, num_queries), seed).seconds[:num_queries]
        else:
            times = _times(_read_trace(self.trace), num_queries, seed)
        return replace(stream, times=times)


def _times(trace: Trace, num_queries: int, seed: int) -> NDArray[np.float64]:
    rounds = -(-num_queries // len(trace))
    period = trace.span * len(trace) / (len(trace) - 1)  # with the mean gap in between
    starts = np.arange(rounds)[:, None] * period
    seconds: NDArray[np.float64] = (starts + trace.seconds).ravel()
    generator = np.random.default_rng([seed, CLOCK_STREAM])
    surplus = generator.choice(
        seconds.size, size=seconds.size - num_queries, replace=False, shuffle=False
    )
    return np.delete(seconds, surplus)


@cache
def _read_trace(path: str) -> Trace:
    return read_trace(Path(path))
