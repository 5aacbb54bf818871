"""Which models are live and serve, stage by stage, beside the oracle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stageroute.lab.declared import Scope
from stageroute.lab.episodes import Record
from stageroute.lab.intervals import Floats
from stageroute.lab.runs import Run, Runs, select
from stageroute.lab.summary import HeatMap

__all__ = [
    "Agreement",
    "agreement",
    "mean_shares",
    "share_at_caps",
    "share_over_caps",
    "who_serves",
]


@dataclass(frozen=True, eq=False, slots=True)
class Agreement:
    """How far a policy's stages agree with the oracle's on the same stream, each shape (K,).

    Attributes
    ----------
    live : ndarray
        Share of the candidates that are live in both or in neither.
    needed : ndarray
        1 where all models that the oracle's mixture uses are live, else 0.
    served : ndarray
        The part of the queries that the same models serve: 1 less the total variation distance.
    """

    live: Floats
    needed: Floats
    served: Floats


def agreement(record: Record, oracle: Record) -> Agreement:
    """Compare the stages of two records of the same stream; models must be listed in them."""
    is_candidate = _is_candidate(record)
    live, oracle_live = _is_live(record), _is_live(oracle)
    shares, oracle_shares = _shares(record), _shares(oracle)
    same = (live == oracle_live) & is_candidate
    return Agreement(
        live=same.sum(axis=1) / is_candidate.sum(axis=1),
        needed=np.all(live | (oracle_shares == 0.0), axis=1).astype(np.float64),
        served=np.minimum(shares, oracle_shares).sum(axis=1),
    )


def mean_shares(records: Sequence[Record]) -> Floats:
    """Return the share of each model (rows) in each stage, mean over records.

    NaN where a model had not arrived when the stage began, whatever the record.
    """
    shares = np.mean([_shares(record) for record in records], axis=0)
    is_candidate = np.any([_is_candidate(record) for record in records], axis=0)
    return np.asarray(np.where(is_candidate, shares, np.nan).T)


def share_over_caps(run: Run) -> float:
    """Return the share of the queries that models served beyond their caps, stage by stage."""
    record = run.record
    excess = np.maximum(_shares(record) - np.asarray(record.caps), 0.0).sum(axis=1)
    return float(excess @ _lengths(record) / record.num_queries)


def share_at_caps(run: Run, almost: float) -> float:
    """Return the share of the queries that are served by models at (`almost` times) their caps."""
    record = run.record
    shares = _shares(record)
    at_cap = (shares * (shares >= almost * np.asarray(record.caps))).sum(axis=1)
    return float(_lengths(record) @ at_cap / record.num_queries)


def who_serves(scope: Scope, policies: Sequence[str], note: Callable[[Runs], str]) -> list[HeatMap]:
    """Return a map of the share of every model in every stage for each policy, on one scale.

    Policies that did not run are left out, and so are pools whose models are not listed.
    """
    runs = {policy: select(scope.runs, {"policy": policy}) for policy in policies}
    shares = {
        policy: mean_shares([run.record for run in found])
        for policy, found in runs.items()
        if found and found[0].record.models
    }
    top = max((float(np.nanmax(rows)) for rows in shares.values()), default=1.0)
    return [
        HeatMap(
            title=f"Who serves: {policy}",
            x_label="stage",
            columns=tuple(str(stage + 1) for stage in range(rows.shape[1])),
            rows=tuple(runs[policy][0].record.models),
            values=tuple(rows),
            note=note(runs[policy]),
            top=top,
            part=scope.part,
        )
        for policy, rows in shares.items()
    ]


def _lengths(record: Record) -> NDArray[np.int64]:
    """Return the queries of each stage, shape (K,)."""
    return np.diff([*record.stage_starts, record.num_queries])


def _is_candidate(record: Record) -> NDArray[np.bool_]:
    starts = np.asarray(record.stage_starts, dtype=np.int64)
    return np.asarray(starts[:, None] >= np.asarray(record.arrivals, dtype=np.int64))


def _is_live(record: Record) -> NDArray[np.bool_]:
    live = np.asarray(record.stage_live, dtype=np.bool_)
    return live.reshape(_shape(record))


def _shares(record: Record) -> Floats:
    return np.reshape(record.stage_shares, _shape(record))


def _shape(record: Record) -> tuple[int, int]:
    return len(record.stage_starts), len(record.models)
