"""What the environment knows of the traffic and the money, without asking the router.

So that a refusal can be judged, this follows the documented rule of `Model`: never more than the
limit in any 60 seconds, counted by full seconds, of which `burst_seconds` worth may come at once.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from stageroute.config.models import Tokens
from stageroute.config.settings import Health
from stageroute.drill.environment import Environment
from stageroute.drill.fleet import FLEET, DrillModel, clock_hour
from stageroute.drill.results import Attempt

SECONDS_COUNTED: Final = 61  # full seconds that any 60 seconds touch
ROUNDING: Final = 1e-6  # two sums of the same numbers may differ in their last digits


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

    def send(self, tokens: float, now: float) -> None:
        """Note a request for at most `tokens`."""
        self._under_way += 1
        self.peak = max(self.peak, self._under_way)
        self._requests.add(1.0, now, now)
        self._tokens.add(tokens, now, now)

    def settle(self, reserved: float, used: float, sent: float, now: float) -> None:
        """Note that a request sent at that time is over, and what it used."""
        self._under_way -= 1
        self._tokens.add(used - reserved, sent, now)

    def fail(self, now: float) -> None:
        """Note that a failure was reported."""
        self._failed_at = now

    def succeed(self, sent: float) -> None:
        """Note an answer to a request sent at that time: it says that the model works again."""
        if self._failed_at is not None and sent >= self._failed_at:
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


class EnvironmentLedger:
    """The limits as told, and the bills of each clock hour against `limit`, USD."""

    def __init__(self, world: Environment, limit: float, health: Health) -> None:
        self.known = {name: KnownLimits(model, health) for name, model in FLEET.items()}
        self.limit = limit
        self._world = world
        # By clock hour: bills, and the largest bills possible of what is under way.
        self._committed: defaultdict[int, float] = defaultdict(float)

    def send(self, attempt: Attempt) -> None:
        """Note an attempt that begins."""
        self.known[attempt.model].send(sum(attempt.most), attempt.time)
        self._committed[clock_hour(attempt.time)] += attempt.largest

    def settle(self, attempt: Attempt, now: float) -> None:
        """Put what an attempt used and cost in the place of the most that it could have."""
        self._committed[clock_hour(attempt.time)] += attempt.bill - attempt.largest
        known, reserved = self.known[attempt.model], sum(attempt.most)
        # `fail` takes no tokens: a billed failure counts with all that was set aside for it.
        is_billed_failure = attempt.outcome == "timeout"
        used = reserved if is_billed_failure else attempt.tokens.input + attempt.tokens.output
        known.settle(reserved, used, attempt.time, now)
        if attempt.outcome == "ok":
            known.succeed(attempt.time)
        elif attempt.outcome != "refusal":
            known.fail(now)

    def why_not(
        self, models: Iterable[str], failed: tuple[str, ...], tokens: Tokens, now: float
    ) -> dict[str, str]:
        """Say for each model why it could not serve a request; with "" if it could have."""
        room = self.limit - self._committed[clock_hour(now)]
        why = {}
        for name in models:
            if name in failed:
                why[name] = "failed this request"
            elif self._world.bill(name, tokens) > room - ROUNDING:
                why[name] = "money"
            else:
                why[name] = self.known[name].why_not(sum(tokens), now)
        return why
