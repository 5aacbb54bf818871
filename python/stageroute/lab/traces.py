"""What a record keeps of a replay's stages and windows."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.datasets.streams import Stream
from stageroute.replay import ReplayResult

__all__ = [
    "changed_models",
    "first_live",
    "largest_cap_excess",
    "newcomers_tried",
    "stage_live",
    "stage_shares",
]

CAP_WINDOW: Final = 1_000
"""Queries in each of the windows in which shares are held against the throughput caps."""


def largest_cap_excess(result: ReplayResult, caps: NDArray[np.float64]) -> float:
    """Return the largest share of a model less its cap, over windows of 1,000 queries."""
    num_queries, models = result.arm.size, caps.size
    starts = np.arange(0, max(1, num_queries - CAP_WINDOW + 1), CAP_WINDOW)
    largest = -1.0
    for start in starts.tolist():
        window = result.arm[start : start + CAP_WINDOW]
        share = np.bincount(window, minlength=models) / window.size
        largest = max(largest, float((share - caps).max()))
    return largest


def first_live(stream: Stream, result: ReplayResult) -> NDArray[np.int64]:
    """Return the query at which each model first became live, shape (N,); -1 for never."""
    first = np.full(stream.table.num_models, -1, dtype=np.int64)
    for start, live in zip(result.stage_starts[::-1], result.deployments[::-1], strict=True):
        first[list(live)] = start
    return first


def changed_models(stream: Stream) -> list[int]:
    """Return the columns whose means change on the way."""
    first, *later = stream.regimes
    changed = np.zeros(stream.table.num_models, dtype=np.bool_)
    for regime in later:
        changed |= (regime.reward != first.reward) | (regime.cost != first.cost)
    found: list[int] = np.flatnonzero(changed).tolist()
    return found


def newcomers_tried(stream: Stream, result: ReplayResult) -> float | None:
    """Return the share of the models that came after the start which served a query.

    None where none came.
    """
    is_new = stream.arrivals > 0
    if not is_new.any():
        return None
    served = np.bincount(result.arm, minlength=stream.table.num_models) > 0
    return float(served[is_new].mean())


def stage_shares(stream: Stream, result: ReplayResult) -> NDArray[np.float64]:
    """Return the share of each model in each stage, shape (K, N)."""
    lengths = np.diff([*result.stage_starts, stream.num_queries])
    stages, models = lengths.size, stream.table.num_models
    stage = np.repeat(np.arange(stages), lengths)
    counts = np.bincount(stage * models + result.arm, minlength=stages * models)
    return counts.reshape(stages, models) / lengths[:, None]


def stage_live(stream: Stream, result: ReplayResult) -> NDArray[np.int64]:
    """Return 1 for each model that was live in a stage, shape (K, N)."""
    live = np.zeros((len(result.deployments), stream.table.num_models), dtype=np.int64)
    for stage, models in enumerate(result.deployments):
        live[stage, list(models)] = 1
    return live
