"""Which models are live and serve, stage by stage, beside the oracle."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.lab.declared import Scope
from stageroute.lab.episodes import Record
from stageroute.lab.results import Run, Runs, select
from stageroute.lab.statistics import Floats
from stageroute.lab.summary import HeatMap

ENOUGH: Final = 0.5
"""Of the oracle's share of a stage: a model that serves so much of it is in use."""


@dataclass(frozen=True, eq=False, slots=True)
class Agreement:
    """How far a policy's stages agree with the oracle's on the same stream, each shape (K,)."""

    live: Floats  # share of the candidates that are live in both or in neither
    needed: Floats  # 1 where all models that the oracle's mixture uses are live, else 0
    served: Floats  # part of the queries that the same models serve: 1 - total variation distance


@dataclass(frozen=True, slots=True)
class Adoption:
    """When a model came into use, in queries after its arrival; infinite for never."""

    live: float  # until it was first live
    used: float  # until the first stage in which it serves half of its share under the oracle
    settled: float  # until the first stage from which on it does so in every stage
    traffic: float  # the queries that it served in all / those that it serves under the oracle


def agreement(record: Record, oracle: Record) -> Agreement:
    """Compare the stages of two records of the same stream; models must be listed in them."""
    is_candidate = _is_candidate(record)
    live, oracle_live = (_by_stage(of, of.stage_live) > 0 for of in (record, oracle))
    shares, oracle_shares = (_by_stage(of, of.stage_shares) for of in (record, oracle))
    same = (live == oracle_live) & is_candidate
    return Agreement(
        live=same.sum(axis=1) / is_candidate.sum(axis=1),
        needed=np.all(live | (oracle_shares == 0.0), axis=1).astype(np.float64),
        served=np.minimum(shares, oracle_shares).sum(axis=1),
    )


def adoption(record: Record, oracle: Record, model: str) -> Adoption:
    """Compare what became of a model with what the oracle made of it on the same stream.

    Stages in which the oracle does not use it do not count.
    """
    arm = record.models.index(model)
    arrival, first = record.arrivals[arm], record.first_live[arm]
    share, best = (_by_stage(of, of.stage_shares)[:, arm] for of in (record, oracle))
    wanted = np.flatnonzero(best > 0.0)
    is_used = share[wanted] >= ENOUGH * best[wanted]
    failures = np.flatnonzero(~is_used)
    settled = wanted[failures[-1] + 1 :] if failures.size else wanted

    def since(stages: NDArray[np.int64]) -> float:
        return float(record.stage_starts[stages[0]] - arrival) if stages.size else math.inf

    lengths = _lengths(record)
    return Adoption(
        live=math.inf if first < 0 else float(first - arrival),
        used=since(wanted[is_used]),
        settled=since(settled),
        traffic=float(lengths @ share / (lengths @ best)) if wanted.size else math.nan,
    )


def mean_shares(records: Sequence[Record]) -> Floats:
    """Return the share of each model (rows) in each stage, mean over records.

    NaN where a model had not arrived when the stage began, whatever the record.
    """
    shares = np.mean([_by_stage(record, record.stage_shares) for record in records], axis=0)
    is_candidate = np.any([_is_candidate(record) for record in records], axis=0)
    return np.asarray(np.where(is_candidate, shares, np.nan).T)


def share_over_caps(run: Run) -> float:
    """Return the share of the queries that models served beyond their caps, stage by stage."""
    record = run.record
    shares = _by_stage(record, record.stage_shares)
    excess = np.maximum(shares - np.asarray(record.caps), 0.0).sum(axis=1)
    return float(excess @ _lengths(record) / record.num_queries)


def share_at_caps(run: Run, almost: float) -> float:
    """Return the share of the queries that are served by models at (`almost` times) their caps.

    NaN where models are not listed.
    """
    record = run.record
    if not record.models:
        return math.nan
    shares = _by_stage(record, record.stage_shares)
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
            f"Who serves: {policy}", "stage", tuple(map(str, range(1, rows.shape[1] + 1))),
            tuple(runs[policy][0].record.models), tuple(rows), note=note(runs[policy]), top=top,
            part=scope.part,
        )
        for policy, rows in shares.items()
    ]  # fmt: skip


def _lengths(record: Record) -> NDArray[np.int64]:
    """Return the queries of each stage, shape (K,)."""
    return np.diff([*record.stage_starts, record.num_queries])


def _is_candidate(record: Record) -> NDArray[np.bool_]:
    return np.greater_equal.outer(record.stage_starts, record.arrivals)


def _by_stage(record: Record, values: Sequence[float]) -> NDArray[Any]:
    """Return values of models in stages, shape (K, N)."""
    return np.reshape(values, (len(record.stage_starts), len(record.models)))
