"""Workloads with a clock, and with feedback that is noisy or late."""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import is_number, is_text, is_whole, require
from stageroute.datasets.portable import bell
from stageroute.datasets.streams import Stream
from stageroute.datasets.trace import Trace, read_trace, synthetic_trace
from stageroute.workloads.base import OnTop

__all__ = ["Clocked", "Delayed", "Noisy"]

NOISE_STREAM: Final = 0x6E6F
CLOCK_STREAM: Final = 0x636C
"""Keep the draws of noise and of the clock apart from those of queries."""


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
    kind: str = field(default="clocked", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = self.trace is None or is_text(self.trace)
        require(ok, "trace", self.trace, "must name a file, or be None")

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return f"{self.base.label}, clocked"

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw from the base, and say when each query comes."""
        stream = self.base.stream(num_queries, seed)
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


@dataclass(frozen=True)
class Noisy(OnTop):
    """Feedback comes from a judge that errs: what is reported is not what was earned.

    Regret and reward are measured by what was earned. A judge's error on a model's answer to a
    query of the table is the same whenever that query comes again.

    Parameters
    ----------
    base : Workload
    noise : float, default 0.1
        Standard deviation of bell-shaped noise on every reported reward, which is clipped to
        [0, 1], so that rewards near the ends are reported nearer to the middle.
    flips : float, default 0
        Share of answers of which the judge says the opposite, 1 - reward.
    bias : float, default 0
        Added to what is reported, in [-1, 1].
    favourite : str, optional
        The one model that the bias is for; by default it is for all.
    """

    noise: float = 0.1
    flips: float = 0.0
    bias: float = 0.0
    favourite: str | None = None
    kind: str = field(default="noisy", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = is_number(self.noise) and self.noise >= 0
        require(ok, "noise", self.noise, "must be a number, not negative")
        ok = is_number(self.flips) and 0 <= self.flips <= 1
        require(ok, "flips", self.flips, "must be in [0, 1]: a share of the answers")
        ok = is_number(self.bias) and -1 <= self.bias <= 1
        require(ok, "bias", self.bias, "must be in [-1, 1]")

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return f"{self.base.label}, noisy"

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw from the base, and let the judge report.

        Raises
        ------
        InvalidInputError
            If the favourite is not a model of the base.
        """
        stream = self.base.stream(num_queries, seed)
        table, models = stream.table, stream.table.models
        if self.favourite is not None:
            known = ", ".join(models)
            require(self.favourite in models, "favourite", self.favourite, f"must be of {known}")
        is_biased = [self.favourite in (None, name) for name in models]
        generator = np.random.default_rng([seed, NOISE_STREAM])
        told = stream.told_reward()
        flipped = np.where(generator.random(told.shape) < self.flips, 1.0 - told, told)
        for column, biased in enumerate(is_biased):
            noise = self.noise * bell(generator, table.num_rows)
            flipped[:, column] += noise + self.bias * biased
        return replace(stream, reported_reward=np.clip(flipped, 0.0, 1.0))


@dataclass(frozen=True)
class Delayed(OnTop):
    """Feedback comes late: further queries are routed before it does.

    Parameters
    ----------
    base : Workload
    queries : int, default 200
        How many, on top of the base's own delay.
    """

    queries: int = 200
    kind: str = field(default="delayed", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = is_whole(self.queries) and self.queries >= 0
        require(ok, "queries", self.queries, "must be a whole number, not negative")

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return f"{self.base.label}, {self.queries} late"

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw from the base, and delay its feedback."""
        stream = self.base.stream(num_queries, seed)
        return replace(stream, delay=stream.delay + self.queries)
