"""The main job: policies over a table, several seeds in parallel, summed up."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from stageroute._core import __version__
from stageroute.checks import require
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import Stream, draw_stream
from stageroute.policies import POLICIES, RIVALS, Limits, Policy, Setting, make_policy
from stageroute.replay.metrics import measure
from stageroute.replay.parallel import run_jobs
from stageroute.replay.replay import replay

__all__ = [
    "BenchResult",
    "BenchSettings",
    "Episode",
    "collect",
    "default_num_queries",
    "prepare",
    "run_bench",
    "run_episode",
]

CURVE_POINTS = 200
"""How many points of each curve are kept for pictures."""

ROUTERBENCH_QUERIES = 36_497
"""Length of a stream drawn i.i.d.: the size of RouterBench's table."""


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """What to compare, under what limits, on what streams.

    Parameters
    ----------
    limits : tuple of Limits
        One comparison for each.
    policies : tuple of str
        Names in `POLICIES` or `RIVALS`.
    seeds : tuple of int
        One stream and one run of each policy for each seed.
    num_queries, num_stages : int
        T and K.
    order, num_initial, arrival_order, retirements
        Of the streams; see `draw_stream`.
    """

    limits: tuple[Limits, ...]
    policies: tuple[str, ...] = ("stageroute", "greedy", "uniform", "oracle")
    seeds: tuple[int, ...] = tuple(range(20))
    num_queries: int = ROUTERBENCH_QUERIES
    num_stages: int = 33
    order: str = "iid"
    num_initial: int | None = 5
    arrival_order: str | tuple[str, ...] = "table"
    retirements: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for argument in ("limits", "policies", "seeds"):
            value = getattr(self, argument)
            require(len(value) > 0, argument, value, "must name at least one")
        for name in self.policies:
            known = (*POLICIES, *RIVALS)
            require(name in known, "policies", name, f"must be among {', '.join(known)}")


@dataclass(frozen=True, eq=False, slots=True)
class Episode:
    """Figures of one policy on one stream; arrays are plain lists, ready for JSON.

    Shares and stages are by model name; curves are sampled at `curve_queries`. Other fields are
    as in `ReplayMetrics`.
    """

    policy: str
    budget: float
    seed: int
    regret: float
    reward: float
    spend: float
    worst_running_spend: float
    largest_stage_violation: float
    stage_violation: list[float]
    stage_budget_price: list[float | None]
    shares: dict[str, float]
    stages_deployed: dict[str, int]
    deployments: list[list[str]]
    lp_counts: dict[str, int]
    nanoseconds_per_query: float
    milliseconds_deploying: float
    curve_queries: list[int] = field(repr=False)
    cumulative_regret: list[float] = field(repr=False)
    running_spend: list[float] = field(repr=False)


@dataclass(frozen=True, eq=False, slots=True)
class BenchResult:
    """All episodes of a comparison, with what they ran under."""

    version: str
    table: str
    models: tuple[str, ...]
    settings: BenchSettings
    episodes: tuple[Episode, ...]

    def of(self, policy: str, budget: float) -> list[Episode]:
        """Return the episodes of a policy at a budget, by seed."""
        return [e for e in self.episodes if e.policy == policy and e.budget == budget]

    def to_json(self) -> dict[str, object]:
        """Return everything as plain JSON values."""
        return {
            "version": self.version,
            "table": self.table,
            "models": list(self.models),
            "settings": asdict(self.settings),
            "episodes": [asdict(episode) for episode in self.episodes],
        }


def default_num_queries(table: OutcomeTable, order: str) -> int:
    """RouterBench's 36,497 where rows are drawn, the table's own length where they are taken."""
    return ROUTERBENCH_QUERIES if order == "iid" else table.num_rows


def prepare(
    table: OutcomeTable, settings: BenchSettings, policy: str, limits: Limits, seed: int
) -> tuple[Stream, Policy]:
    """Draw the stream of one seed, and make a fresh policy for it."""
    stream = draw_stream(
        table,
        seed,
        num_queries=settings.num_queries,
        order=settings.order,
        num_initial=settings.num_initial,
        arrival_order=settings.arrival_order,
        retirements=settings.retirements,
    )
    return stream, make_policy(policy, Setting(stream, limits, settings.num_stages, seed))


def run_episode(
    table: OutcomeTable, settings: BenchSettings, policy: str, limits: Limits, seed: int
) -> Episode:
    """Replay one policy on the stream of one seed."""
    stream, instance = prepare(table, settings, policy, limits, seed)
    arranged = stream.table
    result = replay(instance, stream, settings.num_stages)
    metrics = measure(result, stream, limits)
    at = np.unique(np.linspace(0, stream.num_queries - 1, CURVE_POINTS).astype(np.int64))
    prices = metrics.stage_budget_price.tolist()
    return Episode(
        policy=policy,
        budget=limits.budget,
        seed=seed,
        regret=metrics.regret,
        reward=metrics.reward,
        spend=metrics.spend,
        worst_running_spend=metrics.worst_running_spend,
        largest_stage_violation=float(metrics.stage_violation.max()),
        stage_violation=metrics.stage_violation.tolist(),
        stage_budget_price=[None if np.isnan(price) else price for price in prices],
        shares=dict(zip(arranged.models, metrics.shares.tolist(), strict=True)),
        stages_deployed=dict(zip(arranged.models, metrics.stages_deployed.tolist(), strict=True)),
        deployments=[[arranged.models[arm] for arm in live] for live in result.deployments],
        lp_counts=result.lp_counts,
        nanoseconds_per_query=result.seconds_routing / stream.num_queries * 1e9,
        milliseconds_deploying=result.seconds_deploying * 1e3,
        curve_queries=(at + 1).tolist(),
        cumulative_regret=metrics.cumulative_regret[at].tolist(),
        running_spend=metrics.running_spend[at].tolist(),
    )


Job = tuple[str, Limits, int]


def _run_job(table: OutcomeTable, settings: BenchSettings, job: Job) -> Episode:
    return run_episode(table, settings, *job)


def run_bench(
    table: OutcomeTable, settings: BenchSettings, workers: int | None = None
) -> Iterator[Episode]:
    """Run every policy, limit and seed; yield episodes as they finish, in any order.

    Parameters
    ----------
    workers : int, optional
        Processes; as many as there are cores by default. The figures do not depend on it.

    Raises
    ------
    MissingExtraError
        If a rival's package is not installed; nothing has run then.
    """
    for policy in set(settings.policies) & set(RIVALS):
        prepare(table, settings, policy, settings.limits[0], settings.seeds[0])
    jobs: list[Job] = [
        (policy, limits, seed)
        for limits in settings.limits
        for policy in settings.policies
        for seed in settings.seeds
    ]
    yield from run_jobs(_run_job, (table, settings), jobs, workers)


def collect(
    table: OutcomeTable, settings: BenchSettings, episodes: Sequence[Episode]
) -> BenchResult:
    """Put episodes in order of budget, policy and seed, with what they ran under."""
    budgets = [limits.budget for limits in settings.limits]
    ordered = sorted(
        episodes,
        key=lambda e: (budgets.index(e.budget), settings.policies.index(e.policy), e.seed),
    )
    return BenchResult(__version__, table.name, table.models, settings, tuple(ordered))
