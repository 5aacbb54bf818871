"""When models arrive, on top of any workload."""

from dataclasses import dataclass, field, replace

import numpy as np

from stageroute.checks import is_number, require
from stageroute.datasets.streams import Stream
from stageroute.workloads.base import OnTop

__all__ = ["RandomArrivals"]

ARRIVAL_STREAM = 0xA221
"""Keeps the draws of arrivals apart from those of queries."""


@dataclass(frozen=True)
class RandomArrivals(OnTop):
    """Models arrive at random, whenever they are released, and not at even distances.

    Those that a base workload does not have at the start come at independent, uniformly random
    queries, anew for every seed. Even arrivals are in step with stages of some lengths and out of
    step with others; what waiting for a stage boundary costs can only be compared between lengths
    where they are not.

    Parameters
    ----------
    base : Workload
    within : float, default 1.0
        The share of the stream in which all of them come, in (0, 1]; the smaller, the faster.
    """

    within: float = 1.0
    kind: str = field(default="arrivals", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = is_number(self.within) and 0.0 < self.within <= 1.0
        require(ok, "within", self.within, "must be a share of the stream, in (0, 1]")

    @property
    def label(self) -> str:
        """How tables call it."""
        speed = "" if self.within == 1.0 else f" within {self.within:.0%} of the stream"
        return f"{self.base.label}, random arrivals{speed}"

    def over(self, stream: Stream, seed: int) -> Stream:
        """Draw arrivals anew."""
        arrivals = stream.arrivals.copy()
        is_later = arrivals > 0
        last = max(1, round(self.within * stream.num_queries))
        generator = np.random.default_rng([seed, ARRIVAL_STREAM])
        arrivals[is_later] = np.sort(generator.integers(last, size=int(is_later.sum())))
        return replace(stream, arrivals=arrivals)
