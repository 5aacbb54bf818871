"""What a drill is run with, and what it leaves; everything that it reports is made from this."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import is_number, is_whole, require
from stageroute.config.models import Tokens
from stageroute.datasets.trace import Trace
from stageroute.decision_log.batch import LoggedDecision
from stageroute.drill.environment import NOTHING, Truth
from stageroute.drill.fleet import INITIAL, Event, clock_hour
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
        How many models can be live at once.
    stages : int, default 33
        Into how many stages the trace is divided, counted in queries.
    seed : int, default 0
        Fixes every draw, of the environment and of the router.
    journal : Path, optional
        Restart from a journal there, which must not exist yet, in place of a snapshot.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    budget: float = 0.0015
    hard_limit: float | None = None
    max_deployed: int = 4
    stages: int = 33
    seed: int = 0
    journal: Path | None = None

    def __post_init__(self) -> None:
        for name in ("budget", "hard_limit"):
            value = getattr(self, name)
            ok = (value is None and name == "hard_limit") or (is_number(value) and value > 0.0)
            require(ok, name, value, "must be finite and above 0, in USD")
        ok = is_whole(self.max_deployed) and 2 <= self.max_deployed <= len(INITIAL)
        rule = f"must be a whole number in [2, {len(INITIAL)}], the models at the start"
        require(ok, "max_deployed", self.max_deployed, rule)
        ok = is_whole(self.stages) and self.stages >= 1
        require(ok, "stages", self.stages, "must be a whole number, at least 1")
        ok = is_whole(self.seed) and 0 <= self.seed < 2**63
        require(ok, "seed", self.seed, "must be a whole number in [0, 2**63)")
        ok = self.journal is None or not self.journal.exists()
        rule = "is there already: give the path of a journal that is not, or remove it"
        require(ok, "journal", str(self.journal), rule)

    def hourly_limit(self, trace: Trace) -> float:
        """Work out the hard limit, USD per clock hour."""
        if self.hard_limit is not None:
            return self.hard_limit
        counts = Counter(map(clock_hour, trace.seconds.tolist()))
        return 1.05 * self.budget * max(counts.values())


@dataclass(slots=True)
class Attempt:
    """One decision of the router, and what became of it.

    `time` is in seconds from the start. `quality` is the mean reward of the model at the request's
    task. `most` is what the request may use, and `largest` its bill then, USD. `outcome` is that of
    `Answer`, or "open" until it is known; `tokens` are what was billed, and `bill` is in USD, at
    the price of the time of the decision. `reward` stays None until one comes.
    """

    query: int
    id: int
    time: float
    model: str
    probability: float
    is_probe: bool
    quality: float
    most: Tokens
    largest: float
    outcome: str = "open"
    tokens: Tokens = NOTHING
    bill: float = 0.0
    reward: float | None = None


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
    says what is the same after it. `feedback` counts rewards: those that count, and those that are
    to be refused.

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
