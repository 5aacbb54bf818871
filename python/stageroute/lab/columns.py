"""Columns of records, and what is worked out from several of their fields."""

from collections.abc import Sequence

import numpy as np

from stageroute.lab.episodes import Record
from stageroute.lab.intervals import Floats

__all__ = ["column", "loss", "priced_regret", "waiting"]


def column(records: Sequence[Record], name: str) -> Floats:
    """Return a field of every record, shape (records,)."""
    return np.array([getattr(record, name) for record in records], dtype=np.float64)


def priced_regret(records: Sequence[Record]) -> Floats:
    """Return the regret against the stage oracle as a share of its reward, overspending charged."""
    lost = column(records, "total_regret") + column(records, "overspend_charge")
    return np.asarray(lost / (column(records, "oracle_reward") * column(records, "num_queries")))


def waiting(records: Sequence[Record]) -> Floats:
    """Return what waiting for stage boundaries costs, as a share of the oracle that does not wait.

    NaN where it was not worked out.
    """
    cost = column(records, "waiting_cost")
    return np.asarray(cost / _available(records, cost))


def loss(records: Sequence[Record]) -> Floats:
    """Return what was lost in all, as a share of the oracle that redeploys at every arrival.

    Waiting for stage boundaries counts, unlike in the regret against the stage oracle, and so does
    money that was spent beyond the budget, at the oracle's price. NaN where the cost of waiting was
    not worked out.
    """
    cost = column(records, "waiting_cost")
    lost = column(records, "total_regret") + column(records, "overspend_charge") + cost
    return np.asarray(lost / _available(records, cost))


def _available(records: Sequence[Record], waiting_cost: Floats) -> Floats:
    staged = column(records, "oracle_reward") * column(records, "num_queries")
    return np.asarray(staged + waiting_cost)
