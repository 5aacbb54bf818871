"""How long it took to recover from each event: one simple definition for each kind.

Lengths are counted in routing decisions, second tries included, and in seconds. A share "from here
on" is that of the next `window` decisions, so that a definition does not see a change late.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stageroute._core import solve_routing_lp
from stageroute.decision_log.batch import LoggedDecision
from stageroute.drill.events import Event
from stageroute.drill.settings import DrillResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Decisions", "EventRecovery", "first_from", "measure_recovery", "share_from_here"]

REACHED: Final = 0.8
"""Part of its share that a model has to have again."""

CLOSE: Final = 0.05
"""A share is the oracle's when it is at most this much above it; a newcomer with less than this is
rejected."""

SAME_MIXTURE: Final = 0.02
"""Total variation within which two mixtures are the same."""


@dataclass(frozen=True, slots=True)
class EventRecovery:
    """How one event went: decisions and seconds until what `measure` says.

    Both are None if it did not come about before the next event.
    """

    event: Event
    measure: str
    queries: int | None
    seconds: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Decisions:
    """All decisions, as arrays of shape (n,), in order; a share is taken over `window` of them."""

    seconds: "NDArray[np.float64]"
    model: "NDArray[np.str_]"
    outcome: "NDArray[np.str_]"
    is_probe: "NDArray[np.bool_]"
    window: int

    @classmethod
    def of(cls, outcome: DrillResult) -> "Decisions":
        """Collect the decisions of a drill."""
        attempts = outcome.record.attempts
        return cls(
            np.array([a.time for a in attempts]),
            np.array([a.model for a in attempts]),
            np.array([a.outcome for a in attempts]),
            np.array([a.is_probe for a in attempts]),
            max(50, len(attempts) // 100),
        )

    def at(self, seconds: float) -> int:
        """Index of the first decision at that time or later."""
        return int(np.searchsorted(self.seconds, seconds, side="left"))

    def share(self, model: str, start: int, end: int) -> float:
        """Share of a model in a range of decisions; 0 of an empty one."""
        part = self.model[max(start, 0) : end]
        return float(np.mean(part == model)) if part.size else 0.0

    def share_before(self, event: Event) -> float:
        """Share of an event's model in the last two windows before it."""
        start = self.at(event.start)
        return self.share(event.model, start - 2 * self.window, start)

    def elapsed(self, since: float, index: int | None) -> tuple[int | None, float | None]:
        """Decisions and seconds from a time to a decision."""
        if index is None:
            return None, None
        start = self.at(since)
        if index <= start:
            return 0, 0.0
        return index - start, float(self.seconds[min(index, self.seconds.size - 1)] - since)


def share_from_here(served: "NDArray[np.bool_]", window: int) -> "NDArray[np.float64]":
    """Return for each decision the share of the next `window` ones, it included, that are true.

    Where fewer are left, NaN.
    """
    share = np.full(served.size, np.nan)
    if served.size >= window:
        whole = sliding_window_view(served, window).mean(axis=1)
        share[: whole.size] = whole
    return share


def first_from(condition: "NDArray[np.bool_]", start: int, end: int) -> int | None:
    """Index of the first decision in [start, end) for which a condition is true."""
    found = np.flatnonzero(condition[start:end])
    return start + int(found[0]) if found.size else None


def measure_recovery(outcome: DrillResult) -> tuple[EventRecovery, ...]:
    """Measure every event of a drill, in order."""
    traffic = Decisions.of(outcome)
    rows: list[EventRecovery] = []
    for event in outcome.events:
        horizon = traffic.at(_until(outcome, event.end))
        if event.kind == "outage":
            rows += outage(event, traffic, horizon)
        elif event.kind == "rate_limit":
            rows.append(rate_limit(event, traffic))
        elif event.kind == "arrival":
            rows.append(_arrival(event, traffic, outcome, horizon))
        elif event.kind == "retirement":
            rows.append(_retirement(event, traffic, outcome))
        elif event.kind == "price":
            rows.append(_price(event, traffic, outcome))
        elif event.kind == "regression":
            rows.append(regression(event, traffic, _oracle(outcome, event), horizon))
        else:
            rows.append(_restart(event, outcome))
    return tuple(rows)


def outage(event: Event, traffic: Decisions, horizon: int) -> list[EventRecovery]:
    """Outage: until no traffic but probes goes to the model; then until it has its share back.

    Its share is back when the share from here on is at least 80 % of what it was before.
    """
    start, end = traffic.at(event.start), traffic.at(event.end)
    is_here = traffic.model == event.model
    sent = np.flatnonzero(is_here[start:end] & ~traffic.is_probe[start:end])
    away = start + int(sent[-1]) + 1 if sent.size else start
    probes = int(np.sum(is_here[start:end] & traffic.is_probe[start:end]))
    before = traffic.share_before(event)
    share = share_from_here(is_here, traffic.window)
    back = first_from(share >= REACHED * before, end, horizon)
    note = f"had {before:.0%} of the traffic; {sent.size} requests hit it, then {probes} probes"
    elapsed = traffic.elapsed(event.start, away)
    gone = EventRecovery(event, "until no traffic goes there", *elapsed, note)
    elapsed = traffic.elapsed(event.end, back)
    note = f"{before:.0%} before, {traffic.share(event.model, end, horizon):.0%} since"
    return [gone, EventRecovery(event, "until it has its share back", *elapsed, note)]


def rate_limit(event: Event, traffic: Decisions) -> EventRecovery:
    """Rate limiting: until the provider's last refusal."""
    start, end = traffic.at(event.start), traffic.at(event.end)
    is_refused = (traffic.model == event.model) & (traffic.outcome == "rate_limit")
    refused = np.flatnonzero(is_refused[start:])
    last = start + int(refused[-1]) if refused.size else start
    elapsed = traffic.elapsed(event.start, last)
    sent = int(np.sum(traffic.model[start:end] == event.model))
    before = traffic.share_before(event)
    during = traffic.share(event.model, start, end)
    note = (
        f"{refused.size} of {sent} requests refused; share {before:.0%} before, {during:.0%} then"
    )
    return EventRecovery(event, "until the last refusal", *elapsed, note)


def regression(event: Event, traffic: Decisions, oracle: float, horizon: int) -> EventRecovery:
    """Regression: until the share from here on is at most the oracle's plus 5 points."""
    start = traffic.at(event.start)
    share = share_from_here(traffic.model == event.model, traffic.window)
    found = first_from(share <= oracle + CLOSE, start, horizon)
    elapsed = traffic.elapsed(event.start, found)
    before = traffic.share_before(event)
    note = f"share {before:.0%} before; an oracle gives it {oracle:.0%}"
    return EventRecovery(event, "until its share is the oracle's", *elapsed, note)


def arrival(
    event: Event, traffic: Decisions, live_at: int | None, oracle: float, horizon: int
) -> EventRecovery:
    """Arrival: until the newcomer has its steady share, or until it is rejected.

    The steady share is that of the second half of the time until the next event. It is reached when
    the share from here on is 80 % of it. Below 5 % the newcomer is rejected: when the share from
    here on falls below that, or at the first boundary if it was never live.
    """
    start = traffic.at(event.start)
    is_here = traffic.model == event.model
    steady = traffic.share(event.model, (start + horizon) // 2, horizon)
    share = share_from_here(is_here, traffic.window)
    tried = int(np.sum(is_here[start:horizon]))
    note = f"steady share {steady:.0%}; an oracle gives it {oracle:.0%}"
    if live_at is None:
        return EventRecovery(event, "rejected without a trial", 0, 0.0, note)
    waited, _ = traffic.elapsed(event.start, live_at)
    note += f"; live after {waited}"
    if steady >= CLOSE:
        found = first_from(share >= REACHED * steady, live_at, horizon)
        measure = "until it has its steady share"
    else:
        found = first_from(share < CLOSE, live_at, horizon)
        measure = "until it is rejected"
        note += f", tried {tried} times"
    return EventRecovery(event, measure, *traffic.elapsed(event.start, found), note)


def _arrival(event: Event, traffic: Decisions, outcome: DrillResult, horizon: int) -> EventRecovery:
    rows, start = outcome.record.log, traffic.at(event.start)
    live_at = next((k for k in range(start, horizon) if event.model in rows[k].models), None)
    return arrival(event, traffic, live_at, _oracle(outcome, event), horizon)


def _retirement(event: Event, traffic: Decisions, outcome: DrillResult) -> EventRecovery:
    """Retirement: until as many models are live as before."""
    rows, start = outcome.record.log, traffic.at(event.start)
    full = len(rows[start - 1].models) if start else outcome.settings.max_deployed
    found = next((k for k in range(start, len(rows)) if len(rows[k].models) >= full), None)
    note = f"had {traffic.share_before(event):.0%} of the traffic"
    if found is not None and start:
        started = sorted(set(rows[found].models) - set(rows[start - 1].models))
        note += f"; {', '.join(started)} started" if started else "; it was not live"
    elapsed = traffic.elapsed(event.start, found)
    return EventRecovery(event, "until its slot is filled", *elapsed, note)


def _price(event: Event, traffic: Decisions, outcome: DrillResult) -> EventRecovery:
    """Price change: until the mixture is the one that the LP gives at the new price.

    That LP is solved here, on the estimates of the decision's row in the log, but with the cost
    that the model had before the change times the ratio of the prices.
    """
    record = outcome.record

    def is_of_the_price(row: LoggedDecision) -> bool:
        budget, shares = record.watch[row.id]
        if set(row.models) != set(shares):
            return False
        costs = dict(zip(row.models, row.cost_lcb, strict=True))
        if event.model in costs:
            costs[event.model] = record.cost_before[event.model]
        limits = [shares[model] for model in row.models]
        best = solve_routing_lp(row.reward_ucb, list(costs.values()), limits, budget).probabilities
        return bool(0.5 * np.abs(best - np.array(row.probabilities)).sum() <= SAME_MIXTURE)

    watched = (k for k, row in enumerate(record.log) if row.id in record.watch)
    found = next((k for k in watched if is_of_the_price(record.log[k])), None)
    start, soon = traffic.at(event.start), 2 * traffic.window
    after = traffic.share(event.model, start, start + soon)
    note = f"share {traffic.share_before(event):.0%} before, {after:.0%} in the next {soon} queries"
    elapsed = traffic.elapsed(event.start, found)
    return EventRecovery(event, "until the mixture is that of the price", *elapsed, note)


def _restart(event: Event, outcome: DrillResult) -> EventRecovery:
    """Restart: nothing if the router is what it was."""
    is_same = bool(outcome.record.restart) and all(outcome.record.restart.values())
    note = "the router is what it was" if is_same else "the router is another"
    queries, seconds = (0, 0.0) if is_same else (None, None)
    return EventRecovery(event, "until it is what it was", queries, seconds, note)


def _until(outcome: DrillResult, seconds: float) -> float:
    """When the next event begins or ends."""
    times = {time for event in outcome.events for time in (event.start, event.end)}
    # Decisions at the very end belong to the last event.
    return min((time for time in times if time > seconds), default=float("inf"))


def _oracle(outcome: DrillResult, event: Event) -> float:
    """Look up the share that an oracle gives the event's model from the event on."""
    truth = next(t for t in outcome.record.truths if t.start == event.start)
    return truth.shares.get(event.model, 0.0)
