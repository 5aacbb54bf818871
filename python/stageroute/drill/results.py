"""What a drill is run with, and what it leaves; everything that it reports is made from this."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import check_fields, number_in, require, whole_in
from stageroute.datasets.trace import Trace
from stageroute.decision_log.batch import LoggedDecision
from stageroute.drill.environment import Attempt, Truth
from stageroute.drill.fleet import INITIAL, DrillModel, Event, clock_hour, scaled_fleet
from stageroute.router.state import RouterCounters


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSettings:
    """What a drill is run with.

    Parameters
    ----------
    budget : float, default 0.0015
        Average USD per decision.
    hard_limit : float, optional
        USD per clock hour, above 0; by default 1.05 times what the budget allows in the busiest.
    max_deployed : int, default 4
        How many models can be live at once, at most those of the start.
    stages : int, default 33
        Into how many stages the trace is divided, counted in queries.
    scale : float, default 1.0
        How many times as fast the requests come, to models with so many times the limits.
    seed : int, default 0
        Fixes every draw, of the environment and of the router.
    journal : Path, optional
        Restart from a journal there, which must not exist yet, in place of a snapshot.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    budget: Annotated[float, number_in("(0, inf)", "USD")] = 0.0015
    hard_limit: Annotated[float | None, number_in("(0, inf)", "USD")] = None
    max_deployed: Annotated[int, whole_in(f"[2, {len(INITIAL)}]")] = 4
    stages: Annotated[int, whole_in("[1, inf)")] = 33
    scale: Annotated[float, number_in("(0, inf)")] = 1.0
    seed: Annotated[int, whole_in("[0, 2**63)")] = 0
    journal: Path | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        ok = self.journal is None or not self.journal.exists()
        rule = "is there already: give the path of a journal that is not, or remove it"
        require(ok, "journal", str(self.journal), rule)

    @property
    def fleet(self) -> Mapping[str, DrillModel]:
        """The models by their names, with the limits that the router is told."""
        return scaled_fleet(self.scale)

    def hourly_limit(self, trace: Trace) -> float:
        """Work out the hard limit, USD per clock hour."""
        if self.hard_limit is not None:
            return self.hard_limit
        counts = Counter(map(clock_hour, trace.seconds.tolist()))
        return 1.05 * self.budget * max(counts.values())


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the router refused, with the error's name.

    `why` has for each live model the ground on which it could not serve, as far as the environment
    knows one; empty for a model that could have served.
    """

    query: int
    time: float
    error: str
    why: dict[str, str]

    @property
    def is_justified(self) -> bool:
        """Whether no live model could have served."""
        return all(self.why.values())


@dataclass(slots=True)
class DrillRecord:
    """Everything that happened, in order.

    `unanswered` are requests of which every try failed, with the time. `truths` are what an oracle
    would do from each event to the next. `peaks` are the most queries under way at once. `restart`
    and `fork` say what is the same after it. `feedback` counts rewards: those that count, and those
    that are to be refused.

    `watch` is what the routing LP was given for the first decisions after a change of price, by
    their ids: the paced budget, USD per query, and the largest share of each live model.
    `cost_before` is the router's estimate of a query's cost before a model's price changed, times
    the ratio of the prices, USD.
    """

    attempts: list[Attempt] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    unanswered: list[tuple[int, float]] = field(default_factory=list)
    log: list[LoggedDecision] = field(default_factory=list)
    truths: list[Truth] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)
    watch: dict[int, tuple[float, dict[str, float]]] = field(default_factory=dict)
    cost_before: dict[str, float] = field(default_factory=dict)
    restart: dict[str, bool] = field(default_factory=dict)
    fork: dict[str, bool] = field(default_factory=dict)
    feedback: dict[str, int] = field(
        default_factory=lambda: {"counted": 0, "repeated": 0, "expired": 0}
    )

    @property
    def spend(self) -> float:
        """All bills, USD."""
        return math.fsum(attempt.bill for attempt in self.attempts)

    def column(self, name: str) -> NDArray[Any]:
        """Collect a field of all attempts, shape (decisions,); tokens have a second axis."""
        return np.array([getattr(attempt, name) for attempt in self.attempts])


@dataclass(frozen=True, slots=True)
class DrillResult:
    """A drill that is over.

    `hard_limit` is in USD per clock hour, the events' times are in seconds, and `counters` are the
    router's own, at the end.
    """

    trace: Trace
    settings: DrillSettings
    hard_limit: float
    events: tuple[Event, ...]
    record: DrillRecord
    counters: RouterCounters
