"""Workloads with a clock."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import is_text, require
from stageroute.datasets.streams import Stream
from stageroute.datasets.trace import Trace, read_trace, synthetic_trace
from stageroute.workloads.base import OnTop

__all__ = ["Clocked"]

CLOCK_STREAM: Final = 0x636C
"""Keeps the draws of the clock apart from those of queries."""


@dataclass(frozen=True)
class Clocked(OnTop):
    """Queries come when a trace of real requests says: stages are equally long by the clock.

    Busy stages have more queries than quiet ones. Models arrive at the same queries as without.

    Parameters
    ----------
    base : Workload
    trace : str, optional
        A parquet file with the column ``t_s``, as `read_trace` reads it; a generated hour-like
        stream by default (`synthetic_trace`).

    Notes
    -----
    A trace with too few requests is repeated, one after the other, until there are enough; of more
    than enough, as many as needed are drawn at random, by the seed: the shape of the load stays.
    """

    trace: str | None = None
    said = "clocked"
    kind: str = field(default="clocked", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = self.trace is None or is_text(self.trace)
        require(ok, "trace", self.trace, "must name a file, or be None")

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
    kept = np.ones(seconds.size, dtype=np.bool_)
    surplus = seconds.size - num_queries
    kept[generator.choice(seconds.size, size=surplus, replace=False, shuffle=False)] = False
    return seconds[kept]


@cache
def _read_trace(path: str) -> Trace:
    return read_trace(Path(path))
