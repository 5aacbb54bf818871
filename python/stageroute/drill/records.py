"""What a drill writes down, as it happens; everything that it reports is made from this."""

import math
from dataclasses import dataclass, field

from stageroute.config.models import Tokens
from stageroute.decision_log.batch import LoggedDecision
from stageroute.drill.environment import NOTHING, Truth

__all__ = ["Attempt", "DrillRecord", "Refusal"]


@dataclass(slots=True)
class Attempt:
    """One decision of the router, and what became of it.

    `time` is in seconds from the start. `quality` is the mean reward of the model at the request's
    task. `outcome` is that of `Answer`, or "open" until it is known; `tokens` are what was billed,
    and `bill` is in USD, at the price of the time of the decision. `reward` stays None until one
    comes.
    """

    query: int
    id: int
    time: float
    model: str
    probability: float
    is_probe: bool
    quality: float
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

    Attributes
    ----------
    unanswered : list of (int, float)
        Requests that were tried as often as the caller tries and failed each time; with the time.
    truths : list of Truth
        What an oracle would do, from each event to the next.
    peaks : dict of str to int
        Most queries under way at once, by model.
    watch : dict of int to (float, dict of str to float)
        What the routing LP was given for the first decisions after a change of price, by their
        ids: the paced budget, USD per query, and the largest share of each live model.
    cost_before : dict of str to float
        The router's estimate of a query's cost before a model's price changed, times the ratio of
        the prices, USD.
    restart : dict of str to bool
        What was compared across the restart.
    feedback : dict of str to int
        Rewards sent: "counted", and those to be refused, "repeated" and "expired".
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
