"""The limits that the router was told, kept by the environment for itself.

So that a refusal can be judged, this follows the documented rule of `Model`: never more than the
limit in any 60 seconds, counted by full seconds, of which `burst_seconds` worth may come at once.
"""

from dataclasses import dataclass, field

from stageroute.config.models import Model
from stageroute.config.settings import Health

__all__ = ["KnownLimits"]


SECONDS_COUNTED = 61
"""Full seconds that any 60 seconds touch."""


@dataclass(slots=True)
class Allowance:
    """What may be sent of one kind of traffic: a bucket, and a count of the last minute."""

    per_minute: float
    most: float
    """What may be sent at once."""
    level: float = field(init=False)
    time: float = 0.0
    sent: dict[int, float] = field(default_factory=dict)
    """By the second."""

    def __post_init__(self) -> None:
        self.level = self.most

    def at(self, now: float) -> float:
        """Bring the counts up to date: what may be sent now."""
        gain = (now - self.time) * self.per_minute / 60.0
        self.level, self.time = min(self.level + gain, self.most), now
        first = int(now) - SECONDS_COUNTED + 1
        self.sent = {second: sum_ for second, sum_ in self.sent.items() if second >= first}
        return min(self.level, self.per_minute - sum(self.sent.values()))

    def add(self, amount: float, sent: float, now: float) -> None:
        """Count an amount for the time at which it was sent; a negative one takes back."""
        self.at(now)
        self.level = min(self.level - amount, self.most)
        if int(sent) > int(now) - SECONDS_COUNTED:
            self.sent[int(sent)] = self.sent.get(int(sent), 0.0) + amount


class KnownLimits:
    """One model's traffic against its limits, and its failures against the health settings.

    Parameters
    ----------
    model : Model
    health : Health
    """

    def __init__(self, model: Model, health: Health) -> None:
        limits = ((model.requests_per_minute, 2.0), (model.tokens_per_minute, 0.0))
        self._requests, self._tokens = (
            None
            if limit is None
            else Allowance(limit, max(limit * model.burst_seconds / 60.0, least))
            for limit, least in limits
        )
        self._concurrent = model.max_concurrent
        self._health = health
        self._failed_at: float | None = None
        self.under_way = 0
        self.peak = 0

    def send(self, tokens: float, now: float) -> None:
        """Note a request for at most `tokens`."""
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        for allowance, amount in ((self._requests, 1.0), (self._tokens, tokens)):
            if allowance is not None:
                allowance.add(amount, now, now)

    def settle(self, reserved: float, used: float, sent: float, now: float) -> None:
        """Note that a request sent at that time is over, and what it used."""
        self.under_way -= 1
        if self._tokens is not None:
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
        if self._concurrent is not None and self.under_way >= self._concurrent:
            return "concurrency"
        for name, allowance, amount in (
            ("requests", self._requests, 1.0),
            ("tokens", self._tokens, tokens),
        ):
            # Two sums of the same numbers may differ in their last digits.
            if allowance is not None and allowance.at(now) < amount + 1e-6:
                return name
        return self._distrust(now)

    def _distrust(self, now: float) -> str:
        """Why a model may be left alone that has failed and not answered since."""
        if self._failed_at is None:
            return ""
        if now - self._failed_at <= self._health.max_cooldown:
            return "failed lately"
        # After a cool-down one request finds out whether it works; the others wait for its answer.
        return "being probed" if self.under_way else ""
