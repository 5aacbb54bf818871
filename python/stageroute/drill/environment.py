"""The world outside the router: providers that answer, fail and refuse, and what they bill.

Nothing here asks the router for anything: this is what the drill's checks compare it with. So that
a refusal can be judged, `KnownLimits` follow the documented rule of `Model`: never more than the
limit in any 60 seconds, counted by full seconds, of which `burst_seconds` worth may come at once.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.config.prices import Price, Tokens
from stageroute.config.settings import Health
from stageroute.datasets.trace import Trace
from stageroute.deployment.solve import solve_deployment
from stageroute.drill.fleet import (
    FLEET,
    MOST_OUTPUT,
    TASKS,
    THROUGHPUT_CAP,
    DrillModel,
    Event,
    qualities,
)

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
SECONDS_COUNTED: Final = 61  # full seconds that any 60 seconds touch
ROUNDING: Final = 1e-6  # two sums of the same numbers may differ in their last digits


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider does with one request.

    `outcome` is "ok", "timeout", "error", "refusal", "rate_limit" or "bad_request", known to the
    caller after `seconds`; `tokens` are billed. A rate-limit answer may ask for a pause of
    `retry_after` seconds. The reward of an answer, if it ever comes, does so `reward_delay` seconds
    later.
    """

    outcome: str
    seconds: float
    tokens: Tokens = NOTHING
    retry_after: float | None = None
    reward: float | None = None
    reward_delay: float = 0.0


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
    """One model as it stands.

    `limit` is what it accepts in a minute. Shares `refused` and `failing` of its requests are
    refused, or fail, at random. Bills are `surcharge` times those of the price.
    """

    price: Price
    quality: NDArray[np.float64]
    is_down: bool = False
    limit: float = math.inf
    refused: float = 0.0
    failing: float = 0.0
    surcharge: float = 1.0
    accepted: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Seconds until it takes another request."""
        while self.accepted and self.accepted[0] <= now - 60.0:
            self.accepted.popleft()
        return 0.0 if len(self.accepted) < self.limit else self.accepted[0] + 60.0 - now


class Environment:
    """Providers and requests.

    `fleet` has the limits as told. `seed` fixes every draw. What becomes of a request with a model
    does not depend on what was routed where before, limits and events apart.
    """

    def __init__(self, trace: Trace, seed: int, fleet: Mapping[str, DrillModel] = FLEET) -> None:
        generator = np.random.default_rng([seed, 2])
        queries = len(trace)
        self.trace, self._fleet = trace, fleet
        self.task = generator.choice(len(TASKS), queries, p=[share for share, _ in TASKS.values()])
        self.is_cached = generator.random(queries) < CACHE_HITS
        shape = (queries, ATTEMPTS)
        self._luck = generator.random(shape)
        self._taste = generator.random(shape)
        self._pace = generator.lognormal(0.0, 0.25, shape)
        self._is_rewarded = generator.random(shape) < REWARDED
        self._delay = MEDIAN_DELAY * generator.lognormal(0.0, DELAY_SPREAD, shape)
        self._mishap = generator.random(shape)
        self._form = generator.random(queries)
        self._malformed = 0.0
        drawn = qualities(seed)
        self.providers = {name: Provider(FLEET[name].price, drawn[name]) for name in FLEET}

    def begin(self, event: Event) -> None:
        """Let an event happen to its model, or to all."""
        for provider in self._concerned(event):
            match event.kind:
                case "outage":
                    provider.is_down = True
                case "flaky":
                    provider.failing = event.factor
                case "noise":
                    provider.refused = event.factor
                case "rate_limit":
                    provider.limit = event.factor * self._fleet[event.model].requests_per_minute
                case "regression":
                    provider.quality = provider.quality * event.factor
                case "bills":
                    provider.surcharge = event.factor
                case "price" if event.price is not None:
                    provider.price = event.price
                case "bad_client":
                    self._malformed = event.factor

    def end(self, event: Event) -> None:
        """Let an event that passes be over."""
        self._malformed = 0.0
        for provider in self._concerned(event):
            provider.is_down, provider.limit, provider.surcharge = False, math.inf, 1.0
            provider.refused = provider.failing = 0.0

    def _concerned(self, event: Event) -> Iterable[Provider]:
        return [self.providers[event.model]] if event.model else self.providers.values()

    def usage(self, query: int, model: str) -> Tokens:
        """Count what a request uses of a model when it is answered."""
        tokens_in = float(self.trace.tokens_in[query])
        cached = CACHED_SHARE * tokens_in if self.is_cached[query] else 0.0
        output = self.trace.tokens_out[query] * FLEET[model].verbosity
        return Tokens(tokens_in, float(min(round(output), MOST_OUTPUT)), float(int(cached)))

    def bill(self, model: str, tokens: Tokens) -> float:
        """Work out what tokens cost at the present price, USD."""
        provider = self.providers[model]
        return provider.surcharge * provider.price.bill(tokens)

    def bills_by_list(self, model: str) -> bool:
        """Whether bills are what the price says."""
        return self.providers[model].surcharge == 1.0

    def call(self, query: int, attempt: int, model: str, now: float) -> Answer:
        """Send a request to a model."""
        provider, place = self.providers[model], (query, attempt)
        if provider.is_down:
            return Answer("error", OUTAGE_SECONDS)
        if self._form[query] < self._malformed:
            return Answer("bad_request", 0.2)
        if self._mishap[place] < provider.refused:
            return Answer("rate_limit", 0.2)
        if self._mishap[place] < provider.failing:
            return Answer("error", 1.0)
        wait = provider.wait(now)
        if wait:
            return Answer("rate_limit", 0.2, retry_after=wait)
        provider.accepted.append(now)
        known, usage = self._fleet[model], self.usage(query, model)
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
            known, provider = self._fleet[name], self.providers[name]
            usage = Tokens(tokens_in, tokens_out * known.verbosity, cached)
            answered = 1.0 - provider.failing
            reward.append(answered * float(mix @ provider.quality))
            cost.append(answered * self.bill(name, usage))
            of_tokens = known.tokens_per_minute / max(usage.input + usage.output, 1.0)
            per_minute = min(known.requests_per_minute, of_tokens)
            share.append(min(THROUGHPUT_CAP, per_minute / 60.0 / rate))
        solution = solve_deployment(reward, cost, share, budget, max_deployed)
        shares = dict(zip(models, map(float, solution.weights), strict=True))
        return Truth(now, shares, solution.objective, solution.spend)


class Allowance:
    """What may be sent of one kind of traffic: a bucket, and a count of the last minute."""

    def __init__(self, per_minute: float, most: float) -> None:
        self._per_minute, self._most = per_minute, most
        self._level, self._time = most, 0.0
        self._sent: dict[int, float] = {}  # by the second

    def at(self, now: float) -> float:
        """Bring the counts up to date: what may be sent now."""
        gain = (now - self._time) * self._per_minute / 60.0
        self._level, self._time = min(self._level + gain, self._most), now
        first = int(now) - SECONDS_COUNTED + 1
        self._sent = {second: sum_ for second, sum_ in self._sent.items() if second >= first}
        return min(self._level, self._per_minute - sum(self._sent.values()))

    def add(self, amount: float, sent: float, now: float) -> None:
        """Count an amount for the time at which it was sent; a negative one takes back."""
        self.at(now)
        self._level = min(self._level - amount, self._most)
        if int(sent) > int(now) - SECONDS_COUNTED:
            self._sent[int(sent)] = self._sent.get(int(sent), 0.0) + amount


class KnownLimits:
    """One model's traffic against its limits, and its failures against the health settings."""

    def __init__(self, model: DrillModel, health: Health) -> None:
        burst = model.to_model().burst_seconds / 60.0
        requests, tokens = model.requests_per_minute, model.tokens_per_minute
        self._requests = Allowance(requests, max(requests * burst, 2.0))
        self._tokens = Allowance(tokens, tokens * burst)
        self._max_concurrent = model.max_concurrent
        self._health = health
        self._failed_at: float | None = None
        self._under_way = 0
        self.peak = 0

    def send(self, attempt: Attempt) -> None:
        """Note an attempt that begins."""
        self._under_way += 1
        self.peak = max(self.peak, self._under_way)
        self._requests.add(1.0, attempt.time, attempt.time)
        self._tokens.add(sum(attempt.most), attempt.time, attempt.time)

    def settle(self, attempt: Attempt, now: float) -> None:
        """Note what an attempt used, and whether the model works."""
        self._under_way -= 1
        # `fail` takes no tokens: a billed failure counts with all that was set aside for it.
        if attempt.outcome != "timeout":
            used = attempt.tokens.input + attempt.tokens.output
            self._tokens.add(used - sum(attempt.most), attempt.time, now)
        if attempt.outcome not in {"ok", "refusal", "bad_request"}:
            self._failed_at = now
        elif attempt.outcome == "ok" and attempt.time >= (self._failed_at or 0.0):
            # An answer to what was sent since says that it works again.
            self._failed_at = None

    def why_not(self, tokens: float, now: float) -> str:
        """Why a request could not be sent now; empty if it could."""
        if self._under_way >= self._max_concurrent:
            return "concurrency"
        if self._requests.at(now) < 1.0 + ROUNDING:
            return "requests"
        if self._tokens.at(now) < tokens + ROUNDING:
            return "tokens"
        if self._failed_at is None:
            return ""
        if now - self._failed_at <= self._health.max_cooldown:
            return "failed lately"
        # After a cool-down one request finds out whether it works; the others wait for its answer.
        return "being probed" if self._under_way else ""
