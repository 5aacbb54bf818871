"""The world outside the router: providers that answer, fail and refuse, and what they bill.

Nothing here asks the router for anything: this is what the drill's checks compare it with.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.config.models import Price, Tokens
from stageroute.datasets.trace import Trace
from stageroute.deployment.solve import solve_deployment
from stageroute.drill.fleet import FLEET, MOST_OUTPUT, TASKS, THROUGHPUT_CAP, Event, qualities

# Shares of the requests that fail at random, of every model at any time.
FAILURE_RATES: Final = {"timeout": 0.002, "error": 0.004, "refusal": 0.006}
TIMEOUT: Final = 30.0  # seconds after which the caller gives up
OUTAGE_SECONDS: Final = 1.5  # until a model that is down answers with an error
ATTEMPTS: Final = 2  # a request is tried at most this often, each time with another model
CACHE_HITS: Final = 0.3  # share of the requests with a beginning that is known
CACHED_SHARE: Final = 0.5  # how much of their input then comes from a cache
MEDIAN_DELAY, DELAY_SPREAD = 40.0, 1.0  # log-normal time from an answer to its reward, seconds
REWARDED: Final = 0.8  # share of the answers whose reward ever comes
NOTHING: Final = Tokens(0.0, 0.0)  # billed for what was never served


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider does with one request.

    `outcome` is "ok", "timeout", "error", "refusal" or "rate_limit", known to the caller after
    `seconds`; `tokens` are billed. A rate-limit answer asks for a pause of `retry_after` seconds.
    The reward of an answer, if it ever comes, does so `reward_delay` seconds later.
    """

    outcome: str
    seconds: float
    tokens: Tokens = NOTHING
    retry_after: float | None = None
    reward: float | None = None
    reward_delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Truth:
    """What an oracle would do from `start` (seconds) on, while nothing changes.

    `shares` is its mixture, of the models that are there; it brings `reward` and costs `spend`,
    USD per query.
    """

    start: float
    shares: dict[str, float]
    reward: float
    spend: float


@dataclass(slots=True)
class Provider:
    """One model as it stands; `limit` is what it accepts in a minute."""

    price: Price
    quality: NDArray[np.float64]
    is_down: bool = False
    limit: float = math.inf
    accepted: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Seconds until it takes another request."""
        while self.accepted and self.accepted[0] <= now - 60.0:
            self.accepted.popleft()
        return 0.0 if len(self.accepted) < self.limit else self.accepted[0] + 60.0 - now


class Environment:
    """Providers and requests.

    `seed` fixes every draw. What becomes of a request with a model does not depend on what was
    routed where before, limits and events apart.
    """

    def __init__(self, trace: Trace, seed: int) -> None:
        generator = np.random.default_rng([seed, 2])
        queries = len(trace)
        self.trace = trace
        self.task = generator.choice(len(TASKS), queries, p=[share for share, _ in TASKS.values()])
        self.is_cached = generator.random(queries) < CACHE_HITS
        shape = (queries, ATTEMPTS)
        self._luck = generator.random(shape)
        self._taste = generator.random(shape)
        self._pace = generator.lognormal(0.0, 0.25, shape)
        self._is_rewarded = generator.random(shape) < REWARDED
        self._delay = MEDIAN_DELAY * generator.lognormal(0.0, DELAY_SPREAD, shape)
        drawn = qualities(seed)
        self.providers = {name: Provider(FLEET[name].price, drawn[name]) for name in FLEET}

    def begin(self, event: Event) -> None:
        """Let an event happen to its model."""
        provider = self.providers[event.model]
        provider.is_down = event.kind == "outage"
        if event.kind == "rate_limit":
            provider.limit = event.factor * FLEET[event.model].requests_per_minute
        elif event.kind == "regression":
            provider.quality = provider.quality * event.factor
        elif event.price is not None:
            provider.price = event.price

    def end(self, event: Event) -> None:
        """Let an event that passes be over."""
        provider = self.providers[event.model]
        provider.is_down, provider.limit = False, math.inf

    def usage(self, query: int, model: str) -> Tokens:
        """Count what a request uses of a model when it is answered."""
        tokens_in = float(self.trace.tokens_in[query])
        cached = CACHED_SHARE * tokens_in if self.is_cached[query] else 0.0
        output = self.trace.tokens_out[query] * FLEET[model].verbosity
        return Tokens(tokens_in, float(min(round(output), MOST_OUTPUT)), float(int(cached)))

    def bill(self, model: str, tokens: Tokens) -> float:
        """Work out what tokens cost at the present price, USD."""
        return self.providers[model].price.bill(tokens)

    def call(self, query: int, attempt: int, model: str, now: float) -> Answer:
        """Send a request to a model."""
        provider = self.providers[model]
        if provider.is_down:
            return Answer("error", OUTAGE_SECONDS)
        wait = provider.wait(now)
        if wait:
            return Answer("rate_limit", 0.2, retry_after=wait)
        provider.accepted.append(now)
        return self._serve(query, attempt, model)

    def _serve(self, query: int, attempt: int, model: str) -> Answer:
        known, usage, place = FLEET[model], self.usage(query, model), (query, attempt)
        seconds = known.first_token + usage.output / known.tokens_per_second
        seconds = float(seconds * self._pace[place])
        edges = np.cumsum(list(FAILURE_RATES.values()))
        outcome = (*FAILURE_RATES, "ok")[np.searchsorted(edges, self._luck[place], side="right")]
        if outcome == "error":
            return Answer(outcome, 1.0)
        if outcome == "refusal":
            return Answer(outcome, seconds, usage._replace(output=20.0))
        if outcome == "timeout" or seconds > TIMEOUT:
            # The provider has read the request, and bills that.
            return Answer("timeout", TIMEOUT, usage._replace(output=0.0))
        is_good = self._taste[place] < self.expected_reward(query, model)
        reward = float(is_good) if self._is_rewarded[place] else None
        return Answer(outcome, seconds, usage, None, reward, float(self._delay[place]))

    def expected_reward(self, query: int, model: str) -> float:
        """Mean reward of a model at this request's task, as it is now."""
        return float(self.providers[model].quality[self.task[query]])

    def truth(self, now: float, models: Sequence[str], budget: float, max_deployed: int) -> Truth:
        """Find the best live set and mixture for the usual request, knowing everything."""
        trace = self.trace
        rate = len(trace) / max(trace.span, 1.0)
        mix = np.array([share for share, _ in TASKS.values()])
        tokens_in, tokens_out = float(trace.tokens_in.mean()), float(trace.tokens_out.mean())
        cached = CACHE_HITS * CACHED_SHARE * tokens_in
        reward, cost, share = [], [], []
        for name in models:
            known = FLEET[name]
            usage = Tokens(tokens_in, tokens_out * known.verbosity, cached)
            reward.append(float(mix @ self.providers[name].quality))
            cost.append(self.bill(name, usage))
            of_tokens = known.tokens_per_minute / max(usage.input + usage.output, 1.0)
            per_minute = min(known.requests_per_minute, of_tokens)
            share.append(min(THROUGHPUT_CAP, per_minute / 60.0 / rate))
        solution = solve_deployment(reward, cost, share, budget, max_deployed)
        shares = dict(zip(models, map(float, solution.weights), strict=True))
        return Truth(now, shares, solution.objective, solution.spend)
