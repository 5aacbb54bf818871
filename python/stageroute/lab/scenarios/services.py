"""Routers as a service drives them: they route, hear of outcomes later, and are told of prices."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from stageroute._core import FACTS
from stageroute.config.models import Model, Price, Tokens
from stageroute.config.settings import Drift
from stageroute.errors import AlreadyObservedError, InvalidInputError
from stageroute.lab.scenarios.feedback_modes import Message
from stageroute.policies import Limits
from stageroute.policies.rivals.adapting import USUAL_TOKENS
from stageroute.router.router import StageRouter

__all__ = ["Service", "ServiceSettings", "StageRouteService"]

Arms = NDArray[np.intp]

DECISION_STATUSES: Final[tuple[str, ...]] = (*FACTS["statuses"], "restricted")
FEEDBACK_COUNTERS: Final = ("rewards", "costs", "repeated", "unknown", "expired", "evicted")


@dataclass(frozen=True, eq=False, slots=True)
class ServiceSettings:
    """What a service is started with.

    Attributes
    ----------
    models : tuple of str
        Their names, in order of arrival.
    mean_reward, mean_cost : ndarray
        Of each model: what prices, and quality where that is known, are taken from.
    limits : Limits
    seed : int
    drift : Drift
        How StageRoute handles drift; a rival handles it in its own way, if any is set.
    has_prices : bool
        Whether costs come as tokens at a list price, so that a change of price can be announced.
    knows_quality : bool
        Whether mean rewards are known beforehand.
    """

    models: tuple[str, ...]
    mean_reward: NDArray[np.float64]
    mean_cost: NDArray[np.float64]
    limits: Limits
    seed: int
    drift: Drift
    has_prices: bool = False
    knows_quality: bool = False


class Service(ABC):
    """A router in service. Arms are columns of the table, queries are counted from 0.

    Attributes
    ----------
    cannot : mapping of str to str
        Scenarios that its interface cannot express, and why.
    remarks : mapping of str to str
        What else is to be known of its figures in a scenario.
    """

    cannot: ClassVar[Mapping[str, str]] = MappingProxyType({})
    remarks: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @abstractmethod
    def __init__(self, settings: ServiceSettings) -> None:
        """Prepare; the first stage begins it."""

    @abstractmethod
    def begin_stage(self, candidates: Arms) -> None:
        """Begin a stage with the models that have arrived, ascending."""

    @abstractmethod
    def route(self) -> int:
        """Decide on the next query."""

    @abstractmethod
    def deliver(self, messages: Sequence[Message]) -> None:
        """Hear of outcomes."""

    @abstractmethod
    def announce_price(self, arm: int, factor: float) -> None:
        """Hear that a model's price is multiplied by `factor` from the next query on."""

    @abstractmethod
    def decisions(self) -> dict[str, int]:
        """Return how many decisions ended in each status; empty if it has none."""

    @abstractmethod
    def feedback(self) -> dict[str, int]:
        """Return what became of feedback; empty if it does not count it."""

    @abstractmethod
    def billed(self) -> float | None:
        """Return what it has been billed, USD, as far as it keeps books."""


class StageRouteService(Service):
    """`StageRouter`, stages ended by hand.

    Attributes
    ----------
    answers : Counter
        What `observe` and `observe_many` answered: ``"counted"`` or ``"repeated"``.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._arm = {name: arm for arm, name in enumerate(settings.models)}
        self._rates = settings.mean_cost / USUAL_TOKENS
        caps = settings.limits.caps(len(settings.models)).tolist()
        self._models = [self._model(arm, cap) for arm, cap in enumerate(caps)]
        self._router: StageRouter | None = None
        self._ids: list[int] = []
        self._billing: list[float] = []
        self.answers: Counter[str] = Counter()

    def _model(self, arm: int, cap: float) -> Model:
        settings, name = self._settings, self._settings.models[arm]
        quality = float(settings.mean_reward[arm]) if settings.knows_quality else None
        cost = float(settings.mean_cost[arm]) if settings.limits.use_prices else None
        if not settings.has_prices:
            return Model(name, cap, expected_cost=cost, expected_reward=quality)
        return Model(
            name,
            cap,
            expected_reward=quality,
            price=self._price(arm),
            expected_tokens=None if cost is None else Tokens(0.0, USUAL_TOKENS),
        )

    def _price(self, arm: int) -> Price:
        usd_per_million = float(self._rates[arm]) * 1e6
        return Price(usd_per_million, usd_per_million)

    @property
    def router(self) -> StageRouter:
        """The router, from the first stage on."""
        if self._router is None:
            raise InvalidInputError("begin_stage must come first: there is no router before it")
        return self._router

    def begin_stage(self, candidates: Arms) -> None:
        """Add models that have arrived, advance the stage."""
        arrived = self._models[: int(candidates[-1]) + 1]
        limits = self._settings.limits
        if self._router is None:
            self._router = StageRouter(
                arrived,
                budget=limits.budget,
                max_deployed=limits.max_deployed,
                confidence=limits.confidence,
                pacing_horizon=limits.pacing_horizon,
                drift=self._settings.drift,
                solver=limits.solver,
                seed=self._settings.seed,
            )
            return
        for model in arrived[len(self._router.models) :]:
            self._router.add_model(model)
        self._router.advance_stage()

    def route(self) -> int:
        """Decide on the next query."""
        decision = self.router.route()
        self._ids.append(decision.id)
        arm = self._arm[decision.model]
        self._billing.append(float(self._rates[arm]))
        return arm

    def deliver(self, messages: Sequence[Message]) -> None:
        """Observe a message alone, and several at once in batches of one kind."""
        if self._settings.has_prices or len(messages) == 1:
            for message in messages:
                self._observe(message)
            return
        both, rewards, costs = [], [], []
        for query, reward, cost in (message[1:] for message in messages):
            identity = self._ids[query]
            if reward is None:
                costs.append((identity, cost))
            elif cost is None:
                rewards.append((identity, reward))
            else:
                both.append((identity, reward, cost))
        self._observe_batch(both, "rewards", "costs")
        self._observe_batch(rewards, "rewards")
        self._observe_batch(costs, "costs")

    def _observe_batch(self, batch: Sequence[tuple[float | None, ...]], *what: str) -> None:
        if batch:
            ids, *values = (np.array(column) for column in zip(*batch, strict=True))
            arrays = dict(zip(what, values, strict=True))
            answer = self.router.observe_many(ids, **arrays, all_or_none=False)
            self.answers["counted"] += answer.counted
            self.answers["repeated"] += answer.repeated

    def _observe(self, message: Message) -> None:
        identity, cost = self._ids[message.query], message.cost
        try:
            if self._settings.has_prices and cost is not None:
                tokens = Tokens(0.0, cost / self._billing[message.query])
                self.router.observe(identity, reward=message.reward, tokens=tokens)
            else:
                self.router.observe(identity, reward=message.reward, cost=cost)
            self.answers["counted"] += 1
        except AlreadyObservedError:
            self.answers["repeated"] += 1

    def announce_price(self, arm: int, factor: float) -> None:
        """Update the model's price."""
        self._rates[arm] *= factor
        name, price = self._models[arm].name, self._price(arm)
        self._models[arm] = replace(self._models[arm], price=price)
        if arm < len(self.router.models):
            self.router.update_model(name, price=price)

    def decisions(self) -> dict[str, int]:
        """Return how many decisions ended in each status."""
        counters = self.router.counters
        return {status: getattr(counters, status) for status in DECISION_STATUSES}

    def feedback(self) -> dict[str, int]:
        """Return what became of feedback."""
        counters = self.router.counters
        return {name: getattr(counters, name) for name in FEEDBACK_COUNTERS}

    def billed(self) -> float:
        """Return what it has been billed, USD."""
        return self.router.counters.billed
