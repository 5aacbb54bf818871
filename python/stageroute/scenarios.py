"""Feedback as it really comes: late, sparse, missing, repeated, from a world that changes."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

from stageroute._core import __version__
from stageroute.bench import ROUTERBENCH_QUERIES
from stageroute.checks import require
from stageroute.datasets import OutcomeTable
from stageroute.feedback_modes import (
    CostsDelayed,
    Delayed,
    FeedbackMode,
    Immediate,
    Mailbox,
    NoRewards,
    SomeRewards,
    TwiceShuffled,
)
from stageroute.parallel import run_jobs
from stageroute.policies import Limits
from stageroute.replay import stage_starts
from stageroute.rivals import paretobandit
from stageroute.scenario_worlds import Change, PriceCut, SilentRegression, change_world
from stageroute.services import Service, ServiceSettings, StageRouteService
from stageroute.settings import ChangeTest, Drift
from stageroute.streams import draw_stream

__all__ = [
    "DRIFT",
    "SCENARIOS",
    "SERVICES",
    "Scenario",
    "ScenarioResult",
    "ScenarioRun",
    "ScenarioSettings",
    "collect_runs",
    "run_scenario",
    "run_scenarios",
]

DRIFT: Final = Drift(forget_per_stage=0.9, change_test=ChangeTest())
"""What is recommended where models may change without notice: the change test finds what is still
visited, mild forgetting at each stage has everything else tried again in time."""

FEEDBACK_STREAM: Final = 0x5EED
"""Keeps the randomness of feedback apart from that of the stream and of the router."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way in which feedback comes and the world changes.

    Attributes
    ----------
    title : str
        What reports say of it.
    mode : FeedbackMode
    change : Change or None
        What happens in the middle of the stream.
    drift : Drift
        How StageRoute handles drift.
    is_announced : bool
        Whether the change is a price that services are told of.
    knows_quality : bool
        Whether mean rewards are known beforehand.
    spend_goal : float or None
        The most that a seed's spend / b at the end may be.
    """

    title: str
    mode: FeedbackMode = Immediate()
    change: Change | None = None
    drift: Drift = field(default_factory=Drift)
    is_announced: bool = False
    knows_quality: bool = False
    spend_goal: float | None = None


SCENARIOS: Final = MappingProxyType(
    {
        "immediate": Scenario("at once", spend_goal=1.005),
        "immediate_drift": Scenario("at once, Drift on", drift=DRIFT),
        "delayed": Scenario("all 200 queries late", Delayed(200), spend_goal=1.01),
        "some_rewards": Scenario("rewards for 10 %", SomeRewards(0.1), spend_goal=1.01),
        "no_rewards": Scenario("no rewards", NoRewards(), spend_goal=1.01),
        "no_rewards_known_quality": Scenario(
            "no rewards, means known", NoRewards(), knows_quality=True, spend_goal=1.01
        ),
        "delayed_costs": Scenario("costs 200 queries late", CostsDelayed(200), spend_goal=1.01),
        "twice_shuffled": Scenario("twice, shuffled", TwiceShuffled(200), spend_goal=1.01),
        "regression": Scenario("regression", change=SilentRegression(0.5)),
        "regression_drift": Scenario(
            "regression, Drift on", change=SilentRegression(0.5), drift=DRIFT
        ),
        "price_cut": Scenario("price cut", change=PriceCut(0.1)),
        "price_cut_drift": Scenario(
            "price cut, Drift on", change=PriceCut(0.1), drift=DRIFT
        ),
        "price_cut_announced": Scenario(
            "price cut, announced", change=PriceCut(0.1), is_announced=True
        ),
    }
)  # fmt: skip
"""Each scenario by name."""

SERVICES: Final[dict[str, type[Service]]] = {
    "stageroute": StageRouteService,
    "paretobandit": paretobandit.ParetoBanditService,
}
"""Each router by name; `stageroute` first, then its rivals."""


@dataclass(frozen=True, slots=True)
class ScenarioSettings:
    """What to run, under what limits, on what streams.

    Parameters
    ----------
    limits : tuple of Limits
        One comparison for each.
    scenarios : tuple of str
        Names in `SCENARIOS`.
    services : tuple of str
        Names in `SERVICES`.
    seeds : tuple of int
    num_queries, num_stages, num_initial : int
        T, K, and how many models there are at the start; the others arrive evenly.
    """

    limits: tuple[Limits, ...]
    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    services: tuple[str, ...] = ("stageroute",)
    seeds: tuple[int, ...] = tuple(range(20))
    num_queries: int = ROUTERBENCH_QUERIES
    num_stages: int = 33
    num_initial: int = 5

    def __post_init__(self) -> None:
        for argument in ("limits", "scenarios", "services", "seeds"):
            value = getattr(self, argument)
            require(len(value) > 0, argument, value, "must name at least one")
        for argument, known in (("scenarios", SCENARIOS), ("services", SERVICES)):
            for name in getattr(self, argument):
                require(name in known, argument, name, f"must be among {', '.join(known)}")

    def jobs(self) -> list["Job"]:
        """Every run there is to do: scenario, service, limits, seed."""
        return [
            (scenario, service, limits, seed)
            for limits in self.limits
            for scenario in self.scenarios
            for service in self.services
            if scenario not in SERVICES[service].cannot
            for seed in self.seeds
        ]


Job = tuple[str, str, Limits, int]


@dataclass(frozen=True, slots=True)
class ScenarioRun:
    """Figures of one router in one scenario on one stream; plain values, ready for JSON.

    Attributes
    ----------
    regret, regret_after, reward, spent, spend, spend_after, worst_running_spend
        As in `WorldFigures`.
    billed : float or None
        What the router was billed by its own books, USD.
    sent : dict of str to int
        Rewards and costs that were delivered, copies included.
    decisions, feedback : dict of str to int
        The router's counters: decisions by status, feedback by what became of it.
    victim : str or None
        The model that changes.
    """

    scenario: str
    service: str
    budget: float
    seed: int
    regret: float
    regret_after: float | None
    reward: float
    spent: float
    spend: float
    spend_after: float | None
    worst_running_spend: float
    billed: float | None
    sent: dict[str, int]
    decisions: dict[str, int]
    feedback: dict[str, int]
    victim: str | None


@dataclass(frozen=True, eq=False, slots=True)
class ScenarioResult:
    """All runs, with what they ran under."""

    version: str
    table: str
    models: tuple[str, ...]
    settings: ScenarioSettings
    runs: tuple[ScenarioRun, ...]

    def of(self, scenario: str, service: str, budget: float) -> list[ScenarioRun]:
        """Return the runs of a router in a scenario at a budget, by seed."""
        wanted = (scenario, service, budget)
        return [run for run in self.runs if (run.scenario, run.service, run.budget) == wanted]

    def to_json(self) -> dict[str, object]:
        """Return everything as plain JSON values."""
        names = self.settings.scenarios
        return {
            "version": self.version,
            "table": self.table,
            "models": list(self.models),
            "settings": asdict(self.settings),
            "scenarios": {name: _describe(SCENARIOS[name]) for name in names},
            "runs": [asdict(run) for run in self.runs],
        }


def _describe(scenario: Scenario) -> dict[str, object]:
    change = scenario.change
    parts = {"mode": scenario.mode.__class__.__name__}
    return asdict(scenario) | parts | {"change": change and change.__class__.__name__}


def run_scenario(table: OutcomeTable, settings: ScenarioSettings, job: Job) -> ScenarioRun:
    """Drive one router through one scenario, query by query, as a service does."""
    name, service_name, limits, seed = job
    scenario = SCENARIOS[name]
    stream = draw_stream(
        table, seed, num_queries=settings.num_queries, num_initial=settings.num_initial
    )
    world = change_world(stream, scenario.change, limits.budget)
    service = SERVICES[service_name](
        ServiceSettings(
            stream.table, limits, seed, scenario.drift, scenario.is_announced,
            scenario.knows_quality,
        )
    )  # fmt: skip
    reward, cost = (matrix.tolist() for matrix in world.outcomes())
    starts = stage_starts(stream.num_queries, settings.num_stages)
    begins = set(starts.tolist())
    generator = np.random.default_rng([seed, FEEDBACK_STREAM])
    mailbox = Mailbox()
    arms = np.zeros(stream.num_queries, dtype=np.intp)
    for query in range(stream.num_queries):
        if query in begins:
            service.begin_stage(stream.candidates(query))
        if scenario.is_announced and query == world.change_at:
            service.announce_price(world.victim, scenario.change.factor)
        arm = service.route()
        arms[query] = arm
        outcome = reward[query][arm], cost[query][arm]
        mailbox.post(scenario.mode.messages(query, *outcome, generator))
        if messages := mailbox.collect(query):
            service.deliver(messages)
    service.deliver(mailbox.collect_rest())
    return ScenarioRun(
        scenario=name,
        service=service_name,
        budget=limits.budget,
        seed=seed,
        **asdict(world.measure(arms, limits, starts)),
        billed=service.billed(),
        sent=mailbox.sent,
        decisions=service.decisions(),
        feedback=service.feedback(),
        victim=None if world.victim is None else stream.table.models[world.victim],
    )


def run_scenarios(
    table: OutcomeTable, settings: ScenarioSettings, workers: int | None = None
) -> Iterator[ScenarioRun]:
    """Run everything; yield runs as they finish, in any order.

    Parameters
    ----------
    workers : int, optional
        Processes; as many as there are cores by default. The figures do not depend on it.
    """
    for service in settings.services:
        if service == "paretobandit":
            paretobandit.require_installed()
    yield from run_jobs(run_scenario, (table, settings), settings.jobs(), workers)


def collect_runs(
    table: OutcomeTable, settings: ScenarioSettings, runs: Sequence[ScenarioRun]
) -> ScenarioResult:
    """Put runs in order of budget, scenario, service and seed, with what they ran under."""
    budgets = [limits.budget for limits in settings.limits]
    ordered = sorted(
        runs,
        key=lambda run: (
            budgets.index(run.budget),
            settings.scenarios.index(run.scenario),
            settings.services.index(run.service),
            run.seed,
        ),
    )
    return ScenarioResult(__version__, table.name, table.models, settings, tuple(ordered))
