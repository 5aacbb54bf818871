"""StageRoute as it is installed, with other bounds, and as it was published."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

import numpy as np

from stageroute.config.confidence import Confidence
from stageroute.config.models import Model
from stageroute.config.prices import Price, Tokens
from stageroute.decision_log.batch import STATUSES
from stageroute.errors import AlreadyObservedError, InvalidInputError
from stageroute.policies.base import USUAL_TOKENS, Arms, Limits, Message, Policy, Setting, Variants
from stageroute.router.router import StageRouter

LOT_STREAM = 0x107
"""Keeps the lots of shortlists apart from the routing."""

OPEN_DECISIONS = 1_024
"""Feedback comes at once, or after a known delay: a small table stays in the cache."""

DEFAULT_OPEN_DECISIONS = 65_536
"""As `StageRouter` has it: where feedback is missing, decisions stay open for long."""

FEEDBACK_COUNTERS = ("rewards", "costs", "repeated", "unknown", "expired", "evicted", "billed")


class StageRoutePolicy(Policy):
    """`StageRouter` as it is, stages ended by the replay.

    As ``stageroute-paper`` it has the paper's bounds and γ, paced and told prices as the limits
    say; as ``stageroute-kl`` and ``stageroute-hoeffding`` the bounds of that name.
    """

    name = "stageroute"
    variants: ClassVar[Variants] = {
        f"stageroute-{family}": {"family": family} for family in ("paper", "kl", "hoeffding")
    }
    family: ClassVar[str | None] = None
    """Of the bounds, with its own defaults; that of the limits where it is None."""

    def __init__(self, setting: Setting) -> None:
        setting = replace(setting, limits=self._limits_of(setting))
        self._setting, self._limits, self._models = setting, setting.limits, setting.models()
        self._rates = setting.stream.regimes[0].cost / USUAL_TOKENS
        self._has_prices = setting.stream.announced is not None
        if self._has_prices:
            self._models = [self._priced(model, arm) for arm, model in enumerate(self._models)]
        self._arm = {name: arm for arm, name in enumerate(setting.names)}
        self._router: StageRouter | None = None
        self._decisions: list[tuple[int, float]] = []
        self._answered = 0

    def _priced(self, model: Model, arm: int) -> Model:
        tokens = None if model.expected_cost is None else Tokens(0.0, USUAL_TOKENS)
        return replace(model, expected_cost=None, price=self._price(arm), expected_tokens=tokens)

    def _price(self, arm: int) -> Price:
        usd_per_million = float(self._rates[arm]) * 1e6
        return Price(usd_per_million, usd_per_million)

    @classmethod
    def _limits_of(cls, setting: Setting) -> Limits:
        """Return what the limits of the comparison mean for this variant."""
        if cls.family is None:
            return setting.limits
        own, limits = Confidence(cls.family), setting.limits
        confidence = replace(
            limits.confidence,
            family=own.family,
            gamma=own.gamma,
            growth=own.growth,
            min_visits=own.min_visits,
        )
        return replace(limits, confidence=confidence)

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Add models that have arrived, retire those that have gone, advance the stage."""
        return self._begin_with(int(candidates[-1]) + 1, candidates.tolist())

    def _begin_with(self, num_arrived: int, candidates: Sequence[int]) -> tuple[int, ...]:
        arrived = self._models[:num_arrived]
        if self._router is None:
            self._router = self.kernel = self._start(arrived)
            return tuple(self._arm[name] for name in self._router.deployment.models)
        known = len(self._router.models)
        for model in arrived[known:]:
            self._router.add_model(model)
        gone = set(range(max(known, num_arrived))) - set(candidates)
        for arm in sorted(gone):
            if not self._router.state(self._models[arm].name).is_retired:
                self._router.retire_model(self._models[arm].name)
        deployment = self._router.advance_stage()
        return tuple(self._arm[name] for name in deployment.models)

    def _start(self, arrived: Sequence[Model]) -> StageRouter:
        limits, stream = self._limits, self._setting.stream
        # Longer than any stage, so that the router never ends one by itself.
        longest = -(-stream.num_queries // self._setting.num_stages)
        is_known = stream.messages is None
        return StageRouter(
            arrived,
            budget=limits.budget,
            max_deployed=limits.max_deployed,
            confidence=limits.confidence,
            pacing_horizon=limits.pacing_horizon,
            drift=limits.drift,
            open_decisions=OPEN_DECISIONS + stream.delay if is_known else DEFAULT_OPEN_DECISIONS,
            solver=limits.solver,
            stage_queries=None if limits.start_stages == 1 else limits.start_stages * longest,
            controller="inline",
            seed=self._setting.seed,
        )

    @property
    def router(self) -> StageRouter:
        """The router, from the first stage on."""
        if self._router is None:
            raise InvalidInputError("begin_stage must come first: there is no router before it")
        return self._router

    def route(self, row: int) -> tuple[int, float, float]:  # noqa: ARG002
        """Decide on the next query."""
        decision = self.router.route()
        arm = self._arm[decision.model]
        self._decisions.append((decision.id, float(self._rates[arm])))
        return arm, decision.probability, decision.budget_price

    def observe(self, row: int, arm: int, reward: float, cost: float) -> None:
        """Learn what the oldest decision that was not answered brought."""
        self.hear(Message(self._answered, row, arm, reward, cost))
        self._answered += 1

    def hear(self, message: Message) -> None:
        """Observe what is known; the router refuses and counts copies."""
        identity, rate = self._decisions[message.query]
        reward, cost = message.reward, message.cost
        with suppress(AlreadyObservedError):
            if self._has_prices and cost is not None:
                tokens = Tokens(0.0, cost / rate)
                self.router.observe(identity, reward=reward, tokens=tokens)
            else:
                self.router.observe(identity, reward=reward, cost=cost)

    def announce_price(self, arm: int, factor: float) -> None:
        """Update the model's price."""
        self._rates[arm] *= factor
        name, price = self._models[arm].name, self._price(arm)
        self._models[arm] = replace(self._models[arm], price=price)
        if arm < len(self.router.models):
            self.router.update_model(name, price=price)

    def feedback_counts(self) -> dict[str, float]:
        """Return what became of feedback, and what was billed, USD."""
        counters = self.router.counters
        return {name: getattr(counters, name) for name in FEEDBACK_COUNTERS}

    def counts(self) -> dict[str, int]:
        """How many LPs ended in each status."""
        counters = self.router.counters
        return {status: getattr(counters, status) for status in STATUSES}


def as_published(limits: Limits, gamma: float = 0.1) -> Limits:
    """Return limits under which StageRoute is the algorithm of Li & Li (2026) as published.

    Their bounds, with γ = 0.1 as in their experiments, no forced visits, no pacing, and prices
    unknown.
    """
    return replace(
        limits, confidence=Confidence("paper", gamma=gamma), pacing_horizon=None, use_prices=False
    )


class PublishedStageRoutePolicy(StageRoutePolicy):
    """The algorithm of Li & Li (2026) as published: γ = 0.1, no pacing, prices unknown."""

    name = "stageroute-published"

    @classmethod
    def _limits_of(cls, setting: Setting) -> Limits:
        return as_published(setting.limits)


class TheoryStageRoutePolicy(StageRoutePolicy):
    """StageRoute as published, with the γ of its theory: log(N T / δ) at δ = 0.05."""

    name = "stageroute-theory"

    @classmethod
    def _limits_of(cls, setting: Setting) -> Limits:
        gamma = math.log(setting.num_models * setting.stream.num_queries / 0.05)
        return as_published(setting.limits, gamma)


class ShortlistStageRoutePolicy(StageRoutePolicy):
    """StageRoute that considers no more newcomers than it could try and still serve.

    Of the models that arrived during a stage it takes half as many as can be live, by lot, and
    never considers the others: all that can be done without any knowledge of them, where more
    arrive than slots are left. Models of the start are all considered.
    """

    name = "stageroute-shortlist"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._lots = np.random.default_rng([setting.seed, LOT_STREAM])
        self._most = max(1, setting.limits.max_deployed // 2)
        self._num_seen = 0
        self._passed_over: set[int] = set()

    def begin_stage(self, candidates: Arms) -> tuple[int, ...]:
        """Draw the lots, retire the losers, advance the stage."""
        arrived = int(candidates[-1]) + 1
        new = np.arange(self._num_seen, arrived)
        if self._num_seen > 0 and new.size > self._most:
            taken = self._lots.choice(new, size=self._most, replace=False)
            self._passed_over |= set(new.tolist()) - set(taken.tolist())
        self._num_seen = arrived
        kept = [arm for arm in candidates.tolist() if arm not in self._passed_over]
        return self._begin_with(arrived, kept)


class StartBlindStageRoutePolicy(StageRoutePolicy):
    """StageRoute that is not told what starting a model costs, nor billed for it."""

    name = "stageroute-start-blind"

    @classmethod
    def _limits_of(cls, setting: Setting) -> Limits:
        return replace(setting.limits, start_cost=0.0)
