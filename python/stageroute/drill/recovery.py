"""How long it took to recover from each event: one simple definition for each kind.

Lengths are counted in routing decisions, second tries included, and in seconds. A share "from here
on" is that of the next `window` decisions, so that a definition does not see a change late.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stageroute._core import solve_routing_lp
from stageroute.decision_log.batch import LoggedDecision
from stageroute.drill.fleet import Event
from stageroute.drill.results import DrillRecord, DrillResult

REACHED: Final = 0.8  # part of its share that a model has to have again
# A share is the oracle's when it is at most this much above it; a newcomer with less is rejected.
CLOSE: Final = 0.05
SAME_MIXTURE: Final = 0.02  # total variation within which two mixtures are the same


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

    seconds: NDArray[np.float64]
    model: NDArray[np.str_]
    outcome: NDArray[np.str_]
    is_probe: NDArray[np.bool_]
    window: int

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

    def until(
        self, event: Event, measure: str, found: int | None, note: str, since: float | None = None
    ) -> EventRecovery:
        """Count from a time, by default that of the event, to a decision if one was found."""
        if found is None:
            return EventRecovery(event, measure, None, None, note)
        since = event.start if since is None else since
        queries = max(found - self.at(since), 0)
        seconds = float(self.seconds[min(found, self.seconds.size - 1)] - since) if queries else 0.0
        return EventRecovery(event, measure, queries, seconds, note)


def share_from_here(served: NDArray[np.bool_], window: int) -> NDArray[np.float64]:
    """Return what share of `window` decisions from each one on are true; NaN at the end."""
    share = np.full(served.size, np.nan)
    if served.size >= window:
        whole = sliding_window_view(served, window).mean(axis=1)
        share[: whole.size] = whole
    return share


def first_from(condition: NDArray[np.bool_], start: int, end: int) -> int | None:
    """Index of the first decision in [start, end) for which a condition is true."""
    found = np.flatnonzero(condition[start:end])
    return start + int(found[0]) if found.size else None


def measure_recovery(outcome: DrillResult) -> tuple[EventRecovery, ...]:
    """Measure every event of a drill, in order."""
    record = outcome.record
    columns = ("time", "model", "outcome", "is_probe")
    time, model, what, is_probe = (record.column(name) for name in columns)
    traffic = Decisions(time, model, what, is_probe, max(50, time.size // 100))
    return tuple(row for event in outcome.events for row in _measure(event, traffic, outcome))


def _measure(event: Event, traffic: Decisions, outcome: DrillResult) -> Iterator[EventRecovery]:
    record, start = outcome.record, traffic.at(event.start)
    times = (time for other in outcome.events for time in (other.start, other.end))
    # Until the next event begins or ends; decisions at the very end belong to the last one.
    horizon = traffic.at(min((time for time in times if time > event.end), default=math.inf))
    truth = next(truth for truth in record.truths if truth.start == event.start)
    oracle = truth.shares.get(event.model, 0.0)
    if event.kind == "outage":
        yield from outage(event, traffic, horizon)
    elif event.kind == "rate_limit":
        yield rate_limit(event, traffic)
    elif event.kind == "arrival":
        is_live = np.array([event.model in row.models for row in record.log])
        yield arrival(event, traffic, first_from(is_live, start, horizon), oracle, horizon)
    elif event.kind == "retirement":
        yield _retirement(event, traffic, outcome)
    elif event.kind == "price":
        yield _price(event, traffic, record)
    elif event.kind in {"regression", "flaky", "bills"}:
        # Before it passes, if it does.
        end = traffic.at(event.end) if event.end > event.start else horizon
        yield regression(event, traffic, oracle, end)
    elif event.kind in {"noise", "bad_client", "clock"}:
        yield disturbance(event, traffic, record)
    else:
        # Restart or fork: nothing if the router is what it was.
        is_same = all((record.restart if event.kind == "restart" else record.fork).values())
        note = f"the router is {'what it was' if is_same else 'another'}"
        yield traffic.until(event, "until it is what it was", start if is_same else None, note)


def outage(event: Event, traffic: Decisions, horizon: int) -> tuple[EventRecovery, EventRecovery]:
    """Outage: until no traffic but probes goes to the model; then until it has its share back.

    Its share is back when the share from here on is at least 80 % of what it was before.
    """
    start, end = traffic.at(event.start), traffic.at(event.end)
    is_here = traffic.model == event.model
    sent = np.flatnonzero((is_here & ~traffic.is_probe)[start:end])
    away = start + int(sent[-1]) + 1 if sent.size else start
    probes = np.sum((is_here & traffic.is_probe)[start:end])
    before = traffic.share_before(event)
    note = f"had {before:.0%} of the traffic; {sent.size} requests hit it, then {probes} probes"
    gone = traffic.until(event, "until no traffic goes there", away, note)
    share = share_from_here(is_here, traffic.window)
    back = first_from(share >= REACHED * before, end, horizon)
    note = f"{before:.0%} before, {traffic.share(event.model, end, horizon):.0%} since"
    return gone, traffic.until(event, "until it has its share back", back, note, event.end)


def rate_limit(event: Event, traffic: Decisions) -> EventRecovery:
    """Rate limiting: until the provider's last refusal."""
    start, end = traffic.at(event.start), traffic.at(event.end)
    is_here = traffic.model == event.model
    refused = start + np.flatnonzero((is_here & (traffic.outcome == "rate_limit"))[start:])
    last = int(refused[-1]) if refused.size else start
    note = (
        f"{refused.size} of {np.sum(is_here[start:end])} requests refused; share "
        f"{traffic.share_before(event):.0%} before, {traffic.share(event.model, start, end):.0%} "
        "then"
    )
    return traffic.until(event, "until the last refusal", last, note)


def disturbance(event: Event, traffic: Decisions, record: DrillRecord) -> EventRecovery:
    """Trouble that nobody should notice: until the last request that nobody answers.

    Requests that are malformed are not counted.
    """
    start, end = traffic.at(event.start), traffic.at(event.end)
    lost = [time for _, time in record.unanswered] + [refusal.time for refusal in record.refusals]
    lost = [time for time in lost if event.start <= time <= event.end]
    last = min(traffic.at(max(lost)), end) if lost else start
    failed = int(np.sum(~np.isin(traffic.outcome[start:end], ("ok", "refusal"))))
    note = f"{failed} of {end - start} attempts failed; {len(lost)} requests unanswered"
    return traffic.until(event, "until the last unanswered request", last, note)


def regression(event: Event, traffic: Decisions, oracle: float, horizon: int) -> EventRecovery:
    """Regression: until the share from here on is at most the oracle's plus 5 points."""
    share = share_from_here(traffic.model == event.model, traffic.window)
    found = first_from(share <= oracle + CLOSE, traffic.at(event.start), horizon)
    note = f"share {traffic.share_before(event):.0%} before; an oracle gives it {oracle:.0%}"
    return traffic.until(event, "until its share is the oracle's", found, note)


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
    note = f"steady share {steady:.0%}; an oracle gives it {oracle:.0%}"
    if live_at is None:
        return traffic.until(event, "rejected without a trial", start, note)
    note += f"; live after {live_at - start}"
    if steady >= CLOSE:
        found = first_from(share >= REACHED * steady, live_at, horizon)
        return traffic.until(event, "until it has its steady share", found, note)
    note += f", tried {np.sum(is_here[start:horizon])} times"
    found = first_from(share < CLOSE, live_at, horizon)
    return traffic.until(event, "until it is rejected", found, note)


def _retirement(event: Event, traffic: Decisions, outcome: DrillResult) -> EventRecovery:
    """Retirement: until as many models are live as before."""
    rows, start = outcome.record.log, traffic.at(event.start)
    before = rows[start - 1].models if start else ()
    full = len(before) or outcome.settings.max_deployed
    found = next((k for k in range(start, len(rows)) if len(rows[k].models) >= full), None)
    note = f"had {traffic.share_before(event):.0%} of the traffic"
    if found is not None and start:
        started = ", ".join(sorted(set(rows[found].models) - set(before)))
        note += f"; {started} started" if started else "; it was not live"
    return traffic.until(event, "until its slot is filled", found, note)


def _price(event: Event, traffic: Decisions, record: DrillRecord) -> EventRecovery:
    """Price change: until the mixture is the one that the LP gives at the new price.

    That LP is solved here, on the estimates of the decision's row in the log, but with the cost
    that the model had before the change times the ratio of the prices.
    """

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
    return traffic.until(event, "until the mixture is that of the price", found, note)
