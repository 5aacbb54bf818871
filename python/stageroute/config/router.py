"""All settings of a router, and the form in which it takes them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final, Required, Self, TypedDict, Unpack

import numpy as np

from stageroute._core import FACTS
from stageroute.checks import (
    NUMBER,
    check_fields,
    listed,
    number_in,
    one_of,
    require,
    shown,
    whole_in,
)
from stageroute.config.confidence import Confidence
from stageroute.config.fleet import Fleet
from stageroute.config.models import Model
from stageroute.config.settings import (
    FAILURES,
    HEALTH_OF_VERSION_1,
    ChangeTest,
    Drift,
    FailureEffect,
    HardLimit,
    Health,
)
from stageroute.errors import InvalidInputError

MOST_OWN_REASONS: Final = 10
"""So many reasons for failures can be added to those of `FAILURES`."""

SOLVERS: Final = ("highs", "native")
"""What can solve the deployment MIP: HiGHS, or the branch and bound of the core."""


def _random_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """All settings of a `StageRouter`: what a snapshot is made for.

    Parameters
    ----------
    budget : float
        Average USD per query, above 0.
    max_deployed : int
        How many models can be live at once, at least 1.
    confidence : Confidence or str, default ``Confidence()``
        How statistics become optimistic estimates; a string names the family.
    drift : Drift, optional
        What is forgotten, and what counts as a change; nothing by default.
    pacing_horizon : float or None, default 500
        Over- or underspend is corrected over this many queries, at least 1. None gives every LP the
        budget itself, as published: optimistic costs then overspend.
    pacing_burst : float, default 2.0
        Unspent budget is given back to a query up to this many times the budget, at least 1.
    hard_limits : iterable of HardLimit
        Limits on money that no decision can break; every model then needs a `max_cost`.
    failures : mapping of str to FailureEffect, optional
        What reasons of `fail` do, where that is not to be `settings.FAILURES`; also reasons of
        one's own, at most 10.
    health : Health, optional
        When models cool down, and for how long.
    fleet : Fleet, optional
        What a live set must satisfy beside `max_deployed`.
    on_lost_slot : {"leave_empty", "redeploy"}, default "leave_empty"
        What happens to the slot of a live model that retires or fails: it stays empty until the
        next stage, or the next stage comes at once.
    lost_after : float or None, default 3600.0
        A query of which nothing is heard for so long no longer takes a place of
        `Model.max_concurrent`, seconds; None for never. Its feedback still counts.
    canary : float, optional
        The share of the traffic that a model gets at most which was added after the first stage, in
        (0, 1]: it rises to its cap with its first 50 rewards. Without it a newcomer, which looks
        best, may serve every query until its first rewards come. It is also planned with that, so
        `max_deployed` should leave a slot beside the models that carry the traffic.
    stage_queries : int, optional
        A stage ends after this many queries.
    stage_seconds : float, optional
        A stage ends after this much time. With neither, stages end by `advance_stage`, or by
        `plan_stage` and `commit`, alone.
    open_decisions : int, default 65536
        How many recent decisions can take feedback; rounded up to a power of two.
    max_age : float, optional
        For how long a decision can take feedback, seconds; as long as it is among the
        `open_decisions` by default.
    time_limit : float, optional
        Seconds that the deployment MIP may take; see `solve_deployment`.
    solver : {"highs", "native"}, default "highs"
        What solves it.
    seed : int, optional
        Fixes every random draw; drawn from the operating system by default.

    Raises
    ------
    InvalidInputError
        If a setting breaks its rule.
    """

    budget: Annotated[float, number_in("[0, inf)", "USD per query")]
    max_deployed: Annotated[int, whole_in("[1, inf)")]
    confidence: Confidence = field(default_factory=Confidence)
    drift: Drift = field(default_factory=Drift)
    pacing_horizon: Annotated[float | None, NUMBER] = FACTS["pacing"]["horizon"]
    pacing_burst: Annotated[float, NUMBER] = FACTS["pacing"]["burst"]
    hard_limits: tuple[HardLimit, ...] = ()
    failures: Mapping[str, FailureEffect] = field(default_factory=lambda: dict(FAILURES))
    health: Health = field(default_factory=Health)
    fleet: Fleet = field(default_factory=Fleet)
    on_lost_slot: Annotated[str, one_of(("leave_empty", "redeploy"))] = "leave_empty"
    canary: Annotated[float | None, number_in("(0, 1]")] = None
    lost_after: Annotated[float | None, number_in("(0, inf)", "seconds")] = 3_600.0
    stage_queries: Annotated[int | None, whole_in("[1, inf)")] = None
    stage_seconds: Annotated[float | None, number_in("(0, 1e9]", "seconds")] = None
    open_decisions: Annotated[int, whole_in("[1, inf)")] = 65_536
    max_age: Annotated[float | None, number_in("(0, inf)", "seconds")] = None
    time_limit: Annotated[float | None, number_in("(0, inf)", "seconds")] = None
    solver: Annotated[str, one_of(SOLVERS)] = "highs"
    seed: Annotated[int, whole_in("[0, 2**64)")] = field(default_factory=_random_seed)

    def __post_init__(self) -> None:
        check_fields(self)
        ok = self.stage_seconds is None or self.stage_queries is None
        rule = "cannot be combined with stage_queries: choose one of them"
        require(ok, "stage_seconds", self.stage_seconds, rule)
        for name, kind in PARTS.items():
            value = getattr(self, name)
            require(isinstance(value, kind), name, value, f"must be a {kind.__name__}")
        for limit in self.hard_limits:
            require(isinstance(limit, HardLimit), "hard_limits", limit, "must be HardLimits")
        for reason, effect in self.failures.items():
            ok = str(reason).isidentifier()
            require(ok, "failures", reason, "must be a name: letters, digits and underscores")
            ok = isinstance(effect, FailureEffect)
            require(ok, f"failures[{reason!r}]", effect, "must be a FailureEffect")
        own = len(self.failures.keys() - FAILURES.keys())
        require(own <= MOST_OWN_REASONS, "failures", own, "at most 10 reasons of one's own")

    @classmethod
    def of(cls, **arguments: Unpack["RouterArguments"]) -> Self:
        """Make settings of what `StageRouter` was given: None stands for the default."""
        # Only what differs from `FAILURES` is a setting, and is stored.
        return cls(**{"failures": {}} | as_fields(arguments))

    def to_core(self, models: Sequence[Model]) -> dict[str, Any]:
        """Fill in what depends on the models, and what the core names otherwise."""
        horizon, burst = self.pacing_horizon, self.pacing_burst
        effects = {reason: asdict(e) for reason, e in (FAILURES | dict(self.failures)).items()}
        known = FACTS["failures"]
        general = [limit for limit in self.hard_limits if limit.scope is None]
        return asdict(self) | {
            "confidence": self.confidence.resolved(self.budget, models),
            "drift": self.drift.to_core(),
            "hard_limits": [limit.to_core() for limit in general],
            "calendars": [limit.calendar() for limit in general],
            "scopes": self.fleet.scopes(self.hard_limits),
            "failures": {reason: effects[reason] for reason in known},
            "other_failures": [
                {"name": reason, "effect": effect}
                for reason, effect in effects.items()
                if reason not in known
            ],
            "health": self.health.to_core(),
            "pacing": None if horizon is None else {"horizon": horizon, "burst": burst},
            "redeploys_lost_slots": self.on_lost_slot == "redeploy",
        }


class RouterArguments(TypedDict, total=False):
    """Settings as arguments: those of `RouterSettings`, where each is documented."""

    budget: Required[float]
    max_deployed: Required[int]
    confidence: Confidence | str | None
    drift: Drift | None
    pacing_horizon: float | None
    pacing_burst: float
    hard_limits: Iterable[HardLimit]
    failures: Mapping[str, FailureEffect] | None
    health: Health | None
    fleet: Fleet | None
    on_lost_slot: str
    canary: float | None
    lost_after: float | None
    stage_queries: int | None
    stage_seconds: float | None
    open_decisions: int
    max_age: float | None
    time_limit: float | None
    solver: str
    seed: int | None


PARTS: Final = {"confidence": Confidence, "drift": Drift, "health": Health, "fleet": Fleet}
"""Settings that have a class of their own."""


def as_fields(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Make fields of `RouterSettings` of arguments; None stands for the default."""
    given = dict(arguments)
    for name in (*PARTS, "seed"):
        if name in given and given[name] is None:
            del given[name]
    if isinstance(given.get("confidence"), str):
        given["confidence"] = Confidence(family=given["confidence"])
    if "hard_limits" in given:
        given["hard_limits"] = tuple(listed("hard_limits", given["hard_limits"], "HardLimits"))
    if "failures" in given:
        failures: object = {} if given["failures"] is None else given["failures"]
        if not isinstance(failures, Mapping):
            rule = "must map reasons to FailureEffects, or be None"
            raise InvalidInputError(f"failures = {shown(failures)}: {rule}")
        given["failures"] = dict(failures)
    return given


def settings_from_json(stored: Mapping[str, Any]) -> RouterSettings:
    """Make settings from what `asdict` gave, through JSON; also from what version 1 gave."""
    values = dict(stored)
    try:
        if "failure_rate" not in values["health"]:
            values["lost_after"] = None
            values["health"] = values["health"] | HEALTH_OF_VERSION_1
            cooling = {"reward": None, "charge": "nothing", "health": "cool_down"}
            values["failures"] = {"rate_limit": cooling} | values["failures"]
        drift, test = values["drift"], values["drift"]["change_test"]
        drift = drift | {"change_test": None if test is None else ChangeTest(**test)}
        values |= {name: kind(**(values | {"drift": drift})[name]) for name, kind in PARTS.items()}
        values["hard_limits"] = tuple(HardLimit(**limit) for limit in values["hard_limits"])
        failures = values["failures"].items()
        values["failures"] = {reason: FailureEffect(**effect) for reason, effect in failures}
        return RouterSettings(**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInputError(f"these are not the settings of a router: {error!r}") from error
