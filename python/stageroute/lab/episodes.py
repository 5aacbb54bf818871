"""One policy on one stream: what describes it, and what it amounts to."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Self

import numpy as np

from stageroute.datasets.streams import Stream
from stageroute.lab.traces import (
    changed_models,
    first_live,
    largest_cap_excess,
    newcomers_tried,
    stage_live,
    stage_shares,
)
from stageroute.policies import Limits, Setting, make_policy
from stageroute.replay import ReplayResult, replay
from stageroute.replay.metrics import RUNNING_SPEND_FROM, ReplayMetrics, measure, waiting_cost
from stageroute.workloads import Workload

__all__ = ["Episode", "Record", "run_episode"]

CURVE_POINTS = 100
"""How many points of each curve are kept."""

MOST_MODELS_LISTED = 64
"""Figures of single models are kept for pools up to this size."""

WAITING_UP_TO = 1_000
"""The waiting cost is worked out for pools up to this size; it takes a deployment per arrival."""

PRICE_QUANTILES = (0.5, 0.9, 0.99, 1.0)
"""Of the budget's price over the queries; the last one is its largest value."""

AS_MEASURED = (
    "regret", "regret_after", "overspend_charge", "oracle_reward", "reward", "spend", "spend_after",
    "worst_running_spend", "start_spend",
)  # fmt: skip
"""Fields of a record that are those of `ReplayMetrics`."""

Cell = tuple[tuple[str, float | str], ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """One policy on one stream, as plain values.

    Parameters
    ----------
    workload : Workload
    policy : str
        A name that `make_policy` knows.
    limits : Limits
    num_queries, num_stages : int
        T and K.
    seed : int
        Of the stream and of the policy.
    cell : tuple of (str, number or str)
        What the study varies: which cell of its tables the episode belongs to.
    """

    workload: Workload
    policy: str
    limits: Limits
    num_queries: int
    num_stages: int
    seed: int
    cell: Cell = ()

    def __str__(self) -> str:
        """Name it for people."""
        where = f"b = {self.limits.budget:g}, {self.workload.label}, seed {self.seed}"
        cell = "".join(f", {name} = {value}" for name, value in self.cell)
        return f"episode {self.key()} ({self.policy}, {where}{cell})"

    @property
    def stream(self) -> tuple[Workload, int, int]:
        """What the stream depends on: episodes for which it is the same share it."""
        return self.workload, self.num_queries, self.seed

    def to_json(self) -> dict[str, Any]:
        """Return the episode as plain JSON values."""
        return {
            "workload": asdict(self.workload),
            "policy": self.policy,
            "limits": asdict(self.limits),
            "num_queries": self.num_queries,
            "num_stages": self.num_stages,
            "seed": self.seed,
            "cell": dict(self.cell),
        }

    def key(self) -> str:
        """Return what names this episode in results: the same for the same description."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """What an episode amounts to; plain values, the same on every run.

    Fields that are not described are as in `ReplayMetrics`. Lists by model are empty for pools of
    more than 64 models.

    Attributes
    ----------
    key : str
        Of the episode.
    workload : str
        The workload's label.
    cell : str
        What the study varies, as JSON.
    oracle_reward : float
        The stage oracle's mean expected reward.
    total_regret : float
        Its total expected reward less the policy's.
    waiting_cost : float or None
        What the stage oracle loses in all because arrivals wait for a boundary; None for pools of
        more than 1,000 models.
    early_spend : float
        Spend over the first 1,000 queries (all of them, for shorter streams) / budget so far.
    largest_cap_excess : float
        The largest share of a model less its throughput cap, over the stream's windows of 1,000
        queries; chance alone makes it positive.
    largest_probability_excess : float
        The largest probability with which a model was drawn, less its cap.
    budget_price : list of float
        Median, 90th and 99th percentile and maximum over the queries where it is finite, reward
        per USD; empty where it never is.
    lp_counts : str
        LPs by status, as JSON.
    feedback_counts : str
        What became of feedback, and the bill in USD, by the policy's own books, as JSON.
    over : str
        How often each rule of a comparison was broken, as JSON; see `ReplayResult`.
    newcomers_tried : float or None
        Share of the models that arrived after the start which served a query; None where none did
        arrive.
    models : list of str
        In order of arrival.
    caps : list of float
        Throughput caps.
    arrivals : list of int
        The query from which each model can be deployed.
    changed : list of str
        Models whose means change on the way.
    first_live : list of int
        The query at which each model first became live; -1 for never.
    stage_starts : list of int
        The first query of each stage.
    stage_shares : list of float
        Share of each model in each stage, stage by stage.
    stage_live : list of int
        Whether each model was live in each stage, 1 or 0, stage by stage.
    """

    key: str
    workload: str
    policy: str
    budget: float
    seed: int
    num_queries: int
    num_stages: int
    cell: str
    regret: float
    regret_after: float | None
    total_regret: float
    overspend_charge: float
    waiting_cost: float | None
    oracle_reward: float
    reward: float
    spend: float
    spend_after: float | None
    early_spend: float
    worst_running_spend: float
    largest_cap_excess: float
    largest_probability_excess: float
    largest_stage_violation: float
    starts: int
    start_spend: float
    newcomers_tried: float | None
    lp_counts: str
    feedback_counts: str
    over: str
    budget_price: list[float]
    models: list[str]
    caps: list[float]
    arrivals: list[int]
    changed: list[str]
    first_live: list[int]
    shares: list[float]
    stage_starts: list[int]
    stage_violation: list[float]
    stage_budget_price: list[float]
    stage_shares: list[float]
    stage_live: list[int]
    curve_queries: list[int]
    cumulative_regret: list[float]
    running_spend: list[float]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Rebuild a record from plain values.

        Raises
        ------
        KeyError
            If a field is missing.
        """
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain values."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def lp_status_counts(self) -> dict[str, int]:
        """LPs by status; empty for a policy without one."""
        counts: dict[str, int] = json.loads(self.lp_counts)
        return counts

    @property
    def cell_values(self) -> dict[str, Any]:
        """What the study varies, by name."""
        values: dict[str, Any] = json.loads(self.cell)
        return values


@lru_cache(maxsize=1)
def _draw(workload: Workload, num_queries: int, seed: int) -> Stream:
    # The policies of a comparison follow each other on the same stream.
    return workload.stream(num_queries, seed)


def run_episode(episode: Episode) -> tuple[Record, dict[str, float]]:
    """Run an episode.

    Returns
    -------
    record : Record
    timing : dict of str to float
        Nanoseconds for each query and milliseconds for all deployments: not part of the record,
        since no two runs take the same time.
    """
    stream = _draw(*episode.stream)
    limits = episode.limits
    setting = Setting(stream, limits, episode.num_stages, episode.seed)
    policy = make_policy(episode.policy, setting)
    result = replay(policy, stream, episode.num_stages, limits=limits)
    record = _record(episode, stream, result, measure(result, stream, limits))
    timing = {
        "nanoseconds_per_query": result.seconds_routing / stream.num_queries * 1e9,
        "milliseconds_deploying": result.seconds_deploying * 1e3,
    }
    return record, timing


def _record(
    episode: Episode, stream: Stream, result: ReplayResult, metrics: ReplayMetrics
) -> Record:
    is_listed = stream.table.num_models <= MOST_MODELS_LISTED
    limits = episode.limits
    caps = limits.caps(stream.table.num_models)
    at = np.unique(np.linspace(0, stream.num_queries - 1, CURVE_POINTS).astype(np.int64))
    prices = result.budget_price[np.isfinite(result.budget_price)]
    return Record(
        key=episode.key(),
        workload=episode.workload.label,
        policy=episode.policy,
        budget=limits.budget,
        seed=episode.seed,
        num_queries=episode.num_queries,
        num_stages=episode.num_stages,
        cell=json.dumps(dict(episode.cell)),
        **{name: getattr(metrics, name) for name in AS_MEASURED},
        total_regret=float(metrics.cumulative_regret[-1]),
        waiting_cost=_waiting_cost(
            episode.workload,
            episode.num_queries,
            episode.seed,
            episode.num_stages,
            Limits(limits.budget, limits.max_deployed, limits.throughput_cap, solver=limits.solver),
        ),
        early_spend=float(metrics.running_spend[min(RUNNING_SPEND_FROM, stream.num_queries) - 1]),
        largest_cap_excess=largest_cap_excess(result, caps),
        largest_probability_excess=float((result.probability - caps[result.arm]).max()),
        largest_stage_violation=float(metrics.stage_violation.max()),
        starts=int(result.num_started().sum()),
        newcomers_tried=newcomers_tried(stream, result),
        lp_counts=json.dumps(result.lp_counts),
        feedback_counts=json.dumps(result.feedback_counts),
        over=json.dumps(metrics.over),
        budget_price=np.quantile(prices, PRICE_QUANTILES).tolist() if prices.size else [],
        models=list(stream.table.models) if is_listed else [],
        caps=caps.tolist() if is_listed else [],
        arrivals=stream.arrivals.tolist() if is_listed else [],
        changed=[stream.table.models[arm] for arm in changed_models(stream)],
        first_live=first_live(stream, result).tolist() if is_listed else [],
        shares=metrics.shares.tolist() if is_listed else [],
        stage_starts=result.stage_starts.tolist(),
        stage_violation=metrics.stage_violation.tolist(),
        stage_budget_price=metrics.stage_budget_price.tolist(),
        stage_shares=stage_shares(stream, result).ravel().tolist() if is_listed else [],
        stage_live=stage_live(stream, result).ravel().tolist() if is_listed else [],
        curve_queries=(at + 1).tolist(),
        cumulative_regret=metrics.cumulative_regret[at].tolist(),
        running_spend=metrics.running_spend[at].tolist(),
    )


@lru_cache(maxsize=1)
def _waiting_cost(
    workload: Workload, num_queries: int, seed: int, num_stages: int, limits: Limits
) -> float | None:
    # It has nothing to do with the policy, and policies follow each other on the same stream.
    stream = _draw(workload, num_queries, seed)
    if stream.table.num_models > WAITING_UP_TO:
        return None
    return waiting_cost(stream, limits, num_stages)
