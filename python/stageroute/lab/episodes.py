"""One policy on one stream: what describes it, and what it amounts to."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from stageroute.config.confidence import Confidence
from stageroute.datasets.streams import Stream
from stageroute.policies import Limits, Setting, make_policy
from stageroute.replay import ReplayResult, replay
from stageroute.replay.metrics import RUNNING_SPEND_FROM, ReplayMetrics, measure, waiting_cost
from stageroute.workloads import Workload

CURVE_POINTS: Final = 100
"""How many points of each curve are kept."""

MOST_MODELS_LISTED: Final = 64
"""Figures of single models are kept for pools up to this size."""

WAITING_UP_TO: Final = 1_000
"""The waiting cost is worked out for pools up to this size; it takes a deployment per arrival."""

CAP_WINDOW: Final = 1_000
"""Queries in each of the windows in which shares are held against the throughput caps."""

PRICE_QUANTILES: Final = (0.5, 0.9, 0.99, 1.0)
"""Of the budget's price over the queries; the last one is its largest value."""

AS_MEASURED: Final = (
    "regret", "regret_after", "overspend_charge", "oracle_reward", "reward", "spend", "spend_after",
    "worst_running_spend", "start_spend",
)  # fmt: skip
"""Fields of a record that are those of `ReplayMetrics`."""

IN_LIMITS: Final = frozenset(field.name for field in fields(Limits))
IN_CONFIDENCE: Final = frozenset(field.name for field in fields(Confidence))

Value = float | str
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Episode:
    """One policy on one stream, as plain values."""

    workload: Workload
    policy: str  # a name that `make_policy` knows
    limits: Limits
    num_queries: int  # T
    num_stages: int  # K
    seed: int  # of the stream and of the policy
    cell: tuple[tuple[str, Value], ...] = ()  # what the study varies: where its tables have it

    def __str__(self) -> str:
        where = f"b = {self.limits.budget:g}, {self.workload.label}, seed {self.seed}"
        cell = "".join(f", {name} = {value}" for name, value in self.cell)
        return f"episode {self.key()} ({self.policy}, {where}{cell})"

    def but(self, cell: Mapping[str, Value] = MappingProxyType({}), **changes: Any) -> Self:
        """Return it with more in its cell, and other values of fields, limits or their bounds."""
        limits = {name: changes.pop(name) for name in [*changes] if name in IN_LIMITS}
        bounds = {name: changes.pop(name) for name in [*changes] if name in IN_CONFIDENCE}
        changed = replace(self, **{"cell": (*self.cell, *cell.items()), **changes})
        if bounds:
            limits["confidence"] = replace(changed.limits.confidence, **bounds)
        return replace(changed, limits=replace(changed.limits, **limits))

    @property
    def stream(self) -> tuple[Workload, int, int]:
        """What the stream depends on: episodes for which it is the same share it."""
        return self.workload, self.num_queries, self.seed

    @property
    def part(self) -> str:
        """The part of the study that it belongs to; "" where the study has none."""
        return str(dict(self.cell).get("part", ""))

    def to_json(self) -> dict[str, Any]:
        """Return the episode as plain JSON values."""
        return asdict(self) | {"cell": dict(self.cell)}

    def key(self) -> str:
        """Return what names this episode in results: the same for the same description."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """What an episode amounts to; plain values, the same on every run.

    Fields that are not described are as in `ReplayMetrics`. Lists by model are empty for pools of
    more than 64 models.
    """

    key: str  # of the episode
    workload: str  # its label
    policy: str
    budget: float
    seed: int
    num_queries: int
    num_stages: int
    cell: str  # what the study varies, as JSON
    regret: float
    regret_after: float | None
    total_regret: float  # the stage oracle's total expected reward less the policy's
    overspend_charge: float
    # What the stage oracle loses in all because arrivals wait for a boundary; None for pools of
    # more than 1,000 models.
    waiting_cost: float | None
    oracle_reward: float  # the stage oracle's mean expected reward
    reward: float
    spend: float
    spend_after: float | None
    early_spend: float  # over the first 1,000 queries, or all if fewer / budget so far
    worst_running_spend: float
    # The largest share of a model less its throughput cap, over the stream's windows of 1,000
    # queries; chance alone makes it positive.
    largest_cap_excess: float
    largest_probability_excess: float  # largest probability that a model was drawn with, less cap
    largest_stage_violation: float
    starts: int
    start_spend: float
    newcomers_tried: float | None  # share of the later models that served a query; None without any
    lp_counts: str  # LPs by status, as JSON
    feedback_counts: str  # what became of feedback, and the bill in USD, by the policy, as JSON
    over: str  # how often each rule of a comparison was broken, as JSON; see `ReplayResult`
    budget_price: list[float]  # `PRICE_QUANTILES` where finite, reward per USD; empty where nowhere
    models: list[str]  # in order of arrival
    caps: list[float]
    arrivals: list[int]  # the query from which each model can be deployed
    changed: list[str]  # models whose means change on the way
    first_live: list[int]  # the query at which each model first became live; -1 for never
    shares: list[float]
    stage_starts: list[int]  # the first query of each stage
    stage_violation: list[float]
    stage_budget_price: list[float]
    stage_shares: list[float]  # of each model in each stage, stage by stage
    stage_live: list[int]  # whether each model was live in each stage, 1 or 0, stage by stage
    curve_queries: list[int]
    cumulative_regret: list[float]
    running_spend: list[float]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Rebuild a record from plain values; a `KeyError` names a field that is missing."""
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
    """Run an episode; return its record and how long it took, which is never the same."""
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
    limits, num_queries, starts = episode.limits, stream.num_queries, result.stage_starts
    caps = limits.caps(stream.table.num_models)
    at = np.unique(np.linspace(0, num_queries - 1, CURVE_POINTS).astype(np.int64))
    prices = result.budget_price[np.isfinite(result.budget_price)]
    window = min(CAP_WINDOW, num_queries)
    windows = _shares(result, np.full(num_queries // window, window), caps.size)
    is_later, (means, *later) = stream.arrivals > 0, stream.regimes
    changes = [(new.reward != means.reward) | (new.cost != means.cost) for new in later]
    unpriced = Limits(
        limits.budget, limits.max_deployed, limits.throughput_cap, solver=limits.solver
    )
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
        waiting_cost=_waiting_cost(*episode.stream, episode.num_stages, unpriced),
        early_spend=float(metrics.running_spend[min(RUNNING_SPEND_FROM, num_queries) - 1]),
        largest_cap_excess=float((windows - caps).max()),
        largest_probability_excess=float((result.probability - caps[result.arm]).max()),
        largest_stage_violation=float(metrics.stage_violation.max()),
        starts=int(result.num_started().sum()),
        newcomers_tried=float((metrics.shares[is_later] > 0).mean()) if is_later.any() else None,
        lp_counts=json.dumps(result.lp_counts),
        feedback_counts=json.dumps(result.feedback_counts),
        over=json.dumps(metrics.over),
        budget_price=np.quantile(prices, PRICE_QUANTILES).tolist() if prices.size else [],
        changed=[stream.table.models[arm] for arm in np.flatnonzero(np.any(changes, axis=0))],
        stage_starts=starts.tolist(),
        stage_violation=metrics.stage_violation.tolist(),
        stage_budget_price=metrics.stage_budget_price.tolist(),
        curve_queries=(at + 1).tolist(),
        cumulative_regret=metrics.cumulative_regret[at].tolist(),
        running_spend=metrics.running_spend[at].tolist(),
        **_by_model(stream, result, metrics, caps),
    )


def _by_model(
    stream: Stream, result: ReplayResult, metrics: ReplayMetrics, caps: Floats
) -> dict[str, Any]:
    """Return what a record lists by model; nothing where there are too many."""
    names = "models", "caps", "arrivals", "first_live", "shares", "stage_shares", "stage_live"
    if caps.size > MOST_MODELS_LISTED:
        return {name: [] for name in names}
    live = np.zeros((len(result.deployments), caps.size), dtype=np.int64)
    for stage, models in enumerate(result.deployments):
        live[stage, list(models)] = 1
    first_live = np.where(live.any(axis=0), result.stage_starts[live.argmax(axis=0)], -1)
    lengths = np.diff([*result.stage_starts, stream.num_queries])
    in_stages = _shares(result, lengths, caps.size)
    found = caps, stream.arrivals, first_live, metrics.shares, in_stages.ravel(), live.ravel()
    lists = [list(stream.table.models), *(array.tolist() for array in found)]
    return dict(zip(names, lists, strict=True))


def _shares(result: ReplayResult, lengths: NDArray[np.int64], num_models: int) -> Floats:
    """Return the share of each model in parts of the stream, shape (parts, N)."""
    part = np.repeat(np.arange(lengths.size), lengths)
    counts = np.bincount(
        part * num_models + result.arm[: part.size], minlength=lengths.size * num_models
    )
    return counts.reshape(lengths.size, num_models) / lengths[:, None]


@lru_cache(maxsize=1)
def _waiting_cost(
    workload: Workload, num_queries: int, seed: int, num_stages: int, limits: Limits
) -> float | None:
    # It has nothing to do with the policy, and policies follow each other on the same stream.
    stream = _draw(workload, num_queries, seed)
    if stream.table.num_models > WAITING_UP_TO:
        return None
    return waiting_cost(stream, limits, num_stages)
