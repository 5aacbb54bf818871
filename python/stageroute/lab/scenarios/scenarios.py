"""Feedback as it really comes: late, sparse, missing, repeated, from a world that changes."""

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from stageroute.checks import require
from stageroute.config.settings import ChangeTest, Drift
from stageroute.lab.bench import ROUTERBENCH_QUERIES
from stageroute.lab.scenarios.feedback_modes import (
    CostsDelayed,
    Delayed,
    FeedbackMode,
    Immediate,
    NoRewards,
    SomeRewards,
    TwiceShuffled,
)
from stageroute.lab.scenarios.paretobandit_service import ParetoBanditService
from stageroute.lab.scenarios.services import Service, StageRouteService
from stageroute.policies import Limits
from stageroute.workloads.changes import Change, PriceCut, SilentRegression

__all__ = [
    "DRIFT",
    "SCENARIOS",
    "SERVICES",
    "Scenario",
    "ScenarioSettings",
]

DRIFT: Final = Drift(change_test=ChangeTest())
"""What is recommended where models may change without notice: costs nothing where they do not. It
finds what gets worse or cheaper as long as that model is visited; for idle models that get better,
add ``forget_per_stage``, which does cost something."""


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
    handles_drift : bool
        Whether the router is set up for change: StageRoute with `ScenarioSettings.drift`.
    is_announced : bool
        Whether the change is a price that services are told of.
    knows_quality : bool
        Whether mean rewards are known beforehand.
    spend_goal : float or None
        The most that a seed's spend / b at the end may be.
    """

    title: str
    mode: FeedbackMode = field(default_factory=Immediate)
    change: Change | None = None
    handles_drift: bool = False
    is_announced: bool = False
    knows_quality: bool = False
    spend_goal: float | None = None


SCENARIOS: Final = MappingProxyType(
    {
        "immediate": Scenario("at once", spend_goal=1.005),
        "immediate_drift": Scenario("at once, Drift on", handles_drift=True),
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
            "regression, Drift on", change=SilentRegression(0.5), handles_drift=True
        ),
        "price_cut": Scenario("price cut", change=PriceCut(0.1)),
        "price_cut_drift": Scenario(
            "price cut, Drift on", change=PriceCut(0.1), handles_drift=True
        ),
        "price_cut_announced": Scenario(
            "price cut, announced", change=PriceCut(0.1), is_announced=True
        ),
    }
)  # fmt: skip
"""Each scenario by name."""

SERVICES: Final[dict[str, type[Service]]] = {
    "stageroute": StageRouteService,
    "paretobandit": ParetoBanditService,
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
    drift : Drift
        Of the scenarios that handle drift.
    num_queries, num_stages, num_initial : int
        T, K, and how many models there are at the start; the others arrive evenly.
    """

    limits: tuple[Limits, ...]
    scenarios: tuple[str, ...] = tuple(SCENARIOS)
    services: tuple[str, ...] = ("stageroute",)
    seeds: tuple[int, ...] = tuple(range(20))
    drift: Drift = DRIFT
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
