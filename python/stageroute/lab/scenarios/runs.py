"""Driving routers through scenarios, query by query, several seeds in parallel."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from stageroute._core import __version__
from stageroute.config.settings import Drift
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import draw_stream, stage_starts
from stageroute.lab.scenarios.feedback_modes import Mailbox
from stageroute.lab.scenarios.scenarios import SCENARIOS, SERVICES, Job, Scenario, ScenarioSettings
from stageroute.lab.scenarios.services import Service, ServiceSettings
from stageroute.lab.scenarios.worlds import Arms, World, change_world
from stageroute.policies.rivals import paretobandit
from stageroute.replay.parallel import run_jobs

__all__ = ["ScenarioResult", "ScenarioRun", "collect_runs", "run_scenario", "run_scenarios"]

FEEDBACK_STREAM = 0x5EED
"""Keeps the randomness of feedback apart from that of the stream and of the router."""


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
    """Return a scenario as plain values; its parts, which are dataclasses, as text."""
    return asdict(scenario) | {"mode": repr(scenario.mode), "change": repr(scenario.change)}


def run_scenario(table: OutcomeTable, settings: ScenarioSettings, job: Job) -> ScenarioRun:
    """Run one router through one scenario on the stream of one seed."""
    name, service_name, limits, seed = job
    scenario = SCENARIOS[name]
    stream = draw_stream(
        table, seed, num_queries=settings.num_queries, num_initial=settings.num_initial
    )
    world = change_world(stream, scenario.change, limits.budget)
    service = SERVICES[service_name](
        ServiceSettings(
            models=stream.table.models,
            mean_reward=stream.regimes[0].reward,
            mean_cost=stream.regimes[0].cost,
            limits=limits,
            seed=seed,
            drift=settings.drift if scenario.handles_drift else Drift(),
            has_prices=scenario.is_announced,
            knows_quality=scenario.knows_quality,
        )
    )
    mailbox = Mailbox()
    arms = drive(service, scenario, world, mailbox, settings.num_stages, seed)
    starts = stage_starts(stream.num_queries, settings.num_stages)
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


def drive(
    service: Service,
    scenario: Scenario,
    world: World,
    mailbox: Mailbox,
    num_stages: int,
    seed: int,
) -> Arms:
    """Route every query, deliver every message; return the model of each query, shape (T,)."""
    stream = world.stream
    begins = set(stage_starts(stream.num_queries, num_stages).tolist())
    reward, cost = (matrix.tolist() for matrix in world.outcomes())
    generator = np.random.default_rng([seed, FEEDBACK_STREAM])
    arms = np.zeros(stream.num_queries, dtype=np.uint32)
    for query in range(stream.num_queries):
        if query in begins:
            service.begin_stage(stream.candidates(query))
        if scenario.is_announced and query == world.change_at:
            service.announce_price(*world.new_price())
        arm = service.route()
        arms[query] = arm
        outcome = reward[query][arm], cost[query][arm]
        mailbox.post(scenario.mode.messages(query, *outcome, generator))
        if messages := mailbox.collect(query):
            service.deliver(messages)
    service.deliver(mailbox.collect_rest())
    return arms


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
