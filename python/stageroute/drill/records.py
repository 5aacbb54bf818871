"""What a drill writes down, as it happens; everything that it reports is made from this."""

from dataclasses import dataclass, field

from stageroute.config.models import Tokens
from stageroute.decision_log.batch import LoggedDecision
from stageroute.drill.environment import Truth

__all__ = ["Attempt", "DrillRecord", "PriceWatch", "Refusal"]


@dataclass(slots=True)
class Attempt:
    """One decision of the router, and what became of it.

    Attributes
    ----------
    query, id : int
        The request's number, and the decision's.
    time : float
        When it was made, seconds from the start.
    model : str
    probability : float
    is_probe : bool
        Whether it was sent to find out whether a model is up again.
    outcome : str
        See `Answer`; "open" until it is known.
    tokens : Tokens
        What was billed...
    bill : float
        ...and for how much, USD, at the price of the time of the decision.
    quality : float
        Mean reward of the model at the request's task.
    reward : float or None
        The reward, if it came.
    """

    query: int
    id: int
    time: float
    model: str
    probability: float
    is_probe: bool
    quality: float
    outcome: str = "open"
    tokens: Tokens = field(default_factory=lambda: Tokens(0.0, 0.0))
    bill: float = 0.0
    reward: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the router refused.

    Attributes
    ----------
    query : int
    time : float
        Seconds from the start.
    error : str
        Name of the error.
    why : dict of str to str
        For each live model the ground on which it could not serve, as far as the environment knows
        one; empty for a model that could have served.
    """

    query: int
    time: float
    error: str
    why: dict[str, str]

    @property
    def is_justified(self) -> bool:
        """Whether no live model could have served."""
        return all(self.why.values())


@dataclass(frozen=True, slots=True)
class PriceWatch:
    """What the routing LP was given for one decision after a change of price.

    Attributes
    ----------
    id : int
        The decision's.
    budget : float
        The paced budget, USD per query.
    shares : dict of str to float
        The largest share of each live model.
    """

    id: int
    budget: float
    shares: dict[str, float]


@dataclass(slots=True)
class DrillRecord:
    """Everything that happened, in order.

    Attributes
    ----------
    attempts : list of Attempt
    refusals : list of Refusal
    unanswered : list of (int, float)
        Requests that were tried as often as the caller tries and failed each time; with the time.
    log : list of LoggedDecision
        What the router's decision log wrote.
    truths : list of Truth
        What an oracle would do, from each event to the next.
    peaks : dict of str to int
        Most queries under way at once, by model.
    watch : list of PriceWatch
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
    watch: list[PriceWatch] = field(default_factory=list)
    cost_before: dict[str, float] = field(default_factory=dict)
    restart: dict[str, bool] = field(default_factory=dict)
    feedback: dict[str, int] = field(
        default_factory=lambda: {"counted": 0, "repeated": 0, "expired": 0}
    )
