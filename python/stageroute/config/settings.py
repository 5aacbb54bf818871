"""How a router behaves in production: limits on money, failures, health, drift; checked, frozen."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

from stageroute._core import FACTS
from stageroute.checks import (
    NUMBER,
    WHOLE,
    check_fields,
    is_text,
    must,
    number_in,
    one_of,
    require,
    whole_in,
)
from stageroute.config.time_zone import is_time_zone, offsets

TIME_ZONE_RULE: Final = "must name a time zone that this system knows, such as 'Europe/Berlin'"
TOLERANCE: Final = FACTS["health"]["tolerance"]
"""What a router makes of failures that are not in a row, by default."""


@dataclass(frozen=True, slots=True)
class HardLimit:
    """A limit on money that no decision can break.

    Before a decision the most that it can cost (`Model.max_cost`) is reserved; a model whose
    reservation does not fit into what is left gets no traffic. The bill replaces the reservation.

    Parameters
    ----------
    usd : float
        The most that the decisions made in one window may cost together, in (0, 1e9] USD.
    per : {"hour", "day", "week", "month", "total"}
        The window: an hour, a day, a week from Monday, a calendar month, or for ever.
    at_limit : {"cheapest", "refuse"}, default "cheapest"
        What happens when a live model's reservation no longer fits: routing goes on over the models
        that still do, the cheapest last, until none fits; or every query is refused at once.
    scope : str, optional
        A model, a provider or a pool whose models alone it is for; by default all. Where it is at
        an end, other models serve.
    time_zone : str, default "UTC"
        Whose days, weeks and months these are, such as ``"Asia/Tokyo"``. Its rules are taken as
        they are known when the router is made or configured.
    reset_hour : int, default 0
        The hour at which such a day, the Monday or the first of the month begins, in [0, 24).

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    usd: Annotated[float, number_in("(0, 1e9]", "USD")]
    per: Annotated[str, one_of(FACTS["periods"])]
    at_limit: Annotated[str, one_of(FACTS["at_limit"])] = "cheapest"
    scope: str | None = None
    time_zone: Annotated[str, must(is_time_zone, TIME_ZONE_RULE)] = "UTC"
    reset_hour: Annotated[int, whole_in("[0, 23]")] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        ok = self.scope is None or is_text(self.scope)
        require(ok, "scope", self.scope, "must name a model, a provider or a pool, or be None")
        rule = "a limit of a scope leaves its models out: it must be 'cheapest'"
        require(self.scope is None or self.at_limit == "cheapest", "at_limit", self.at_limit, rule)
        ok = self.per not in {"hour", "total"} or (self.time_zone, self.reset_hour) == ("UTC", 0)
        rule = f"goes with a day, a week or a month, not with per={self.per!r}"
        require(ok, "time_zone, reset_hour", (self.time_zone, self.reset_hour), rule)

    def to_core(self) -> dict[str, Any]:
        """Return what the core calls a limit."""
        return {"usd": self.usd, "per": self.per, "at_limit": self.at_limit}

    def calendar(self) -> dict[str, Any]:
        """Return whose days it goes by."""
        return {"offsets": offsets(self.time_zone), "starts": 3_600.0 * self.reset_hour}


@dataclass(frozen=True, slots=True)
class FailureEffect:
    """What a failure does.

    Parameters
    ----------
    reward : float or None
        The reward that is observed, in [0, 1]; None for none.
    charge : {"nothing", "expected", "open"}
        What is billed when `fail` is given no cost: nothing, what the query was expected to cost,
        or nothing yet, because its cost is still to be observed.
    health : {"none", "failure", "cool_down", "throttle"}
        What it means for the model: nothing; a failure, which counts for the streak and for the
        share of failures; a cool-down at once; or that its provider had too much traffic.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    reward: Annotated[float | None, number_in("[0, 1]")]
    charge: Annotated[str, one_of(FACTS["charges"])]
    health: Annotated[str, one_of(FACTS["strikes"])]

    def __post_init__(self) -> None:
        check_fields(self)


FAILURES: Final = {
    reason: FailureEffect(**effect) for reason, effect in FACTS["failures"].items()
} | {other["name"]: FailureEffect(**other["effect"]) for other in FACTS["other_failures"]}
"""What each reason of `StageRouter.fail` does by default. Trouble of a provider says nothing of its
model's quality; a refusal does, and is no trouble; a caller that gave up or asked for what no model
does says nothing at all."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a router makes of failures: when models cool down, and what an unreliable one is worth.

    Parameters
    ----------
    failures : int, default 5
        Failures in a row that cool a model down.
    cooldown : float, default 5.0
        Length of the first cool-down, seconds; it doubles with every relapse.
    max_cooldown : float, default 300.0
        No cool-down is longer.
    failed_after : int, default 3
        After this many cool-downs without a success between them a model counts as failed: it is no
        candidate for deployment until its cool-down is over, and its slot follows
        ``StageRouter(on_lost_slot=...)``.
    failure_rate : float or None, default 0.5
        Share of failures among the attempts of late that cools a model down, in (0, 1]; None for
        none.
    min_attempts : int, default 10
        How many such attempts there must be.
    window : float, default 60.0
        Half-life of what is "of late", seconds.
    memory : float or None, default 300.0
        A model's value for routing and deployment is that of an attempt: its reward times the
        chance of an answer. This is the half-life of the failures and answers that the chance is
        worked out from, seconds; None leaves failures out of the value.
    panic_threshold : float, default 0.5
        Where a larger share of the live models is cooling down than this, those of them that
        answer at times get traffic by value like the others: better an unreliable model than none.
        Never at 1.
    learns_limits : bool, default True
        Whether a model gets no more traffic than its provider lets through, as rate-limit answers
        show it, and none for as long as ``retry_after`` says. Without it ``retry_after`` only
        lengthens a cool-down that its failure starts.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    failures: Annotated[int, whole_in("[1, 2**32)")] = FACTS["health"]["failures"]
    cooldown: Annotated[float, number_in("(0, inf)", "seconds")] = FACTS["health"]["cooldown"]
    max_cooldown: Annotated[float, number_in("(0, inf)", "seconds")] = FACTS["health"][
        "max_cooldown"
    ]
    failed_after: Annotated[int, whole_in("[1, 2**32)")] = FACTS["health"]["failed_after"]
    failure_rate: Annotated[float | None, number_in("(0, 1]")] = TOLERANCE["failure_rate"]
    min_attempts: Annotated[int, whole_in("[1, 2**32)")] = TOLERANCE["min_attempts"]
    window: Annotated[float, number_in("(0, inf)", "seconds")] = TOLERANCE["window"]
    memory: Annotated[float | None, number_in("(0, inf)", "seconds")] = TOLERANCE["memory"]
    panic_threshold: Annotated[float, number_in("[0, 1]")] = TOLERANCE["panic_threshold"]
    learns_limits: bool = TOLERANCE["learns_limits"]

    def __post_init__(self) -> None:
        check_fields(self)
        rule = f"must be at least cooldown = {self.cooldown}"
        require(self.max_cooldown >= self.cooldown, "max_cooldown", self.max_cooldown, rule)
        rule = "must be True or False"
        require(isinstance(self.learns_limits, bool), "learns_limits", self.learns_limits, rule)

    def to_core(self) -> dict[str, Any]:
        """Group the fields as the core does."""
        fields = asdict(self)
        return {"tolerance": {name: fields.pop(name) for name in TOLERANCE}} | fields


HEALTH_OF_VERSION_1: Final = {
    "failure_rate": None,
    "min_attempts": 1,
    "window": 60.0,
    "memory": None,
    "panic_threshold": 1.0,
    "learns_limits": False,
}
"""What settings that were stored before these fields came meant."""


@dataclass(frozen=True, slots=True)
class ChangeTest:
    """A two-sided cumulative sum test (Page 1954) on each model's rewards and costs.

    When it fires, what is known of that quantity of that model is dropped and the model is explored
    as if it were new in that respect.

    Parameters
    ----------
    threshold : float, default 30.0
        When the test fires, in standard deviations; higher is later and surer.
    slack : float, default 0.2
        Half the smallest change worth finding, in standard deviations, in (0, 3).
    min_samples : int, default 30
        Observations before the first test, at least 2.
    """

    threshold: Annotated[float, NUMBER] = FACTS["change_test"]["threshold"]
    slack: Annotated[float, NUMBER] = FACTS["change_test"]["slack"]
    min_samples: Annotated[int, WHOLE] = FACTS["change_test"]["min_samples"]

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True, slots=True)
class Drift:
    """What a router does about a world that changes; nothing by default.

    Parameters
    ----------
    forget_per_query : float, optional
        Each new observation of a model first scales the weight of its earlier ones by this, in
        (0, 1): no more than the last 1 / (1 - factor) or so count.
    forget_per_stage : float, optional
        The same at each stage boundary, for all models: one that is not visited is tried again in
        time.
    window : int, optional
        Only the running stage and this many before it count. At most one of these three.
    change_test : ChangeTest, optional
        Reopens exploration of a model whose reward or cost has moved.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    forget_per_query: Annotated[float | None, number_in("(0, 1)")] = None
    forget_per_stage: Annotated[float | None, number_in("(0, 1)")] = None
    window: Annotated[int | None, whole_in("[1, 4096]", "stages")] = None
    change_test: ChangeTest | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        ok = self.change_test is None or isinstance(self.change_test, ChangeTest)
        require(ok, "change_test", self.change_test, "must be a ChangeTest, or None")
        ways = ("forget_per_query", "forget_per_stage", "window")
        chosen = [name for name in ways if getattr(self, name) is not None]
        require(len(chosen) <= 1, " and ".join(chosen), self, "choose one way to forget")

    def to_core(self) -> dict[str, Any]:
        """Name the one way to forget as the core does."""
        ways: dict[str, Any] = {
            "per_query": {"factor": self.forget_per_query},
            "per_stage": {"factor": self.forget_per_stage},
            "window": {"stages": self.window},
        }
        chosen = {way: how for way, how in ways.items() if None not in how.values()}
        test = self.change_test
        return {
            "forgetting": chosen or "none",
            "change_test": None if test is None else asdict(test),
        }
