"""How long a policy takes to adopt a model that is worth adopting."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.lab.episodes import Record

__all__ = ["Adoption", "adoption"]

Whole = NDArray[np.int64]

ENOUGH: Final = 0.5
"""Of the oracle's share of a stage: a model that serves so much of it is in use."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """When a model came into use, in queries after its arrival; infinite for never.

    Attributes
    ----------
    live : float
        Until it was first live.
    used : float
        Until the first stage in which it serves half of its share under the oracle.
    settled : float
        Until the first stage from which on it does so in every stage.
    traffic : float
        The queries that it served in all, as a share of those that it serves under the oracle.
    """

    live: float
    used: float
    settled: float
    traffic: float


def adoption(record: Record, oracle: Record, model: str) -> Adoption:
    """Compare what became of a model with what the oracle made of it on the same stream.

    Stages in which the oracle does not use it do not count.
    """
    arm = record.models.index(model)
    arrival, first = record.arrivals[arm], record.first_live[arm]
    starts = np.asarray(record.stage_starts, dtype=np.int64)
    lengths = np.diff([*record.stage_starts, record.num_queries])
    shape = starts.size, len(record.models)
    share = np.reshape(record.stage_shares, shape)[:, arm]
    best = np.reshape(oracle.stage_shares, shape)[:, arm]
    wanted = np.flatnonzero(best > 0.0)
    is_used = share[wanted] >= ENOUGH * best[wanted]
    failures = np.flatnonzero(~is_used)
    settled = wanted[failures[-1] + 1 :] if failures.size else wanted
    return Adoption(
        live=math.inf if first < 0 else float(first - arrival),
        used=_since(starts, wanted[is_used], arrival),
        settled=_since(starts, settled, arrival),
        traffic=float(lengths @ share / (lengths @ best)) if wanted.size else math.nan,
    )


def _since(starts: Whole, stages: Whole, arrival: int) -> float:
    return float(starts[stages[0]] - arrival) if stages.size else math.inf
