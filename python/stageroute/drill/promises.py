"""What must hold in every drill, checked against the environment's own ledger."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from stageroute.drill.fleet import FLEET, clock_hour
from stageroute.drill.results import DrillRecord, DrillResult

BUDGET_TOLERANCE: Final = 0.01
ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise, whether it holds, and the figures behind that."""

    name: str
    holds: bool
    detail: str


def check(outcome: DrillResult) -> tuple[Promise, ...]:
    """Check every promise of a drill that is over."""
    return (
        _refusals(outcome),
        *_money(outcome),
        *_traffic(outcome.record),
        _log(outcome.record),
        _feedback(outcome),
        _restart(outcome),
    )


def most_in_window(times: ArrayLike, amounts: ArrayLike, seconds: float) -> float:
    """Return the most that any window of `seconds` holds, both of its ends included.

    Times must ascend, and amounts, one for each time, must not be negative.
    """
    times, total = np.asarray(times, dtype=np.float64), np.cumsum(amounts)
    before = np.searchsorted(times, times - seconds)
    return float(np.max(total - np.append(0.0, total)[before], initial=0.0))


def _refusals(outcome: DrillResult) -> Promise:
    record = outcome.record
    counts = Counter((r.error, r.is_justified) for r in record.refusals)
    refused = [
        f"{count} {error}{'' if is_justified else ' without a ground'}"
        for (error, is_justified), count in sorted(counts.items())
    ]
    detail = (
        f"{len(outcome.trace):,} requests; refused: {', '.join(refused) or 'none'}; "
        f"failed by both models tried: {len(record.unanswered)}"
    )
    holds = all(refusal.is_justified for refusal in record.refusals)
    return Promise("no error while a live model could serve", holds, detail)


def _money(outcome: DrillResult) -> Iterator[Promise]:
    attempts, limit, billed = outcome.record.attempts, outcome.hard_limit, outcome.counters.billed
    spend = outcome.record.spend
    ratio = spend / (outcome.settings.budget * len(attempts))
    detail = f"{spend:.4f} USD for {len(attempts):,} decisions: {ratio:.4f} of the budget"
    yield Promise("average budget", ratio <= 1.0 + BUDGET_TOLERANCE, detail)
    is_same = abs(spend - billed) <= ROUNDING * max(spend, billed)
    detail = f"the environment's {spend:.9f} USD, the router's {billed:.9f}"
    yield Promise("bills add up", is_same, detail)
    hours: defaultdict[int, list[float]] = defaultdict(list)
    for attempt in attempts:
        hours[clock_hour(attempt.time)].append(attempt.bill)
    most = max(map(math.fsum, hours.values()))
    detail = f"at most {most:.4f} of {limit:.4f} USD in a clock hour ({most / limit:.1%})"
    yield Promise("hard limit per hour", most <= limit * (1.0 + ROUNDING), detail)


def _traffic(record: DrillRecord) -> Iterator[Promise]:
    """Compare the worst of all windows of 60 seconds, wherever they start, with the limits."""
    time, model, tokens = (record.column(name) for name in ("time", "model", "tokens"))
    amounts = {"requests": np.ones(time.size), "tokens": tokens[:, 0] + tokens[:, 1]}
    for kind, amount in amounts.items():
        worst = {}
        for name, known in FLEET.items():
            most = most_in_window(time[model == name], amount[model == name], 60.0)
            worst[name] = most / getattr(known, f"{kind}_per_minute")
        yield _within(f"{kind} per minute", worst, "in any 60 s")
    worst = {name: record.peaks[name] / known.max_concurrent for name, known in FLEET.items()}
    yield _within("queries under way", worst, "at once")


def _within(promise: str, worst: dict[str, float], where: str) -> Promise:
    name = max(worst, key=worst.__getitem__)
    detail = f"at most {worst[name]:.1%} of the limit {where} ({name})"
    return Promise(promise, worst[name] <= 1.0 + ROUNDING, detail)


def _log(record: DrillRecord) -> Promise:
    made = {a.id: (a.model, a.probability) for a in record.attempts}
    logged = Counter(row.id for row in record.log)
    missing = sum(logged[id_] != 1 for id_ in made) + sum(id_ not in made for id_ in logged)
    off = 0.0
    wrong = 0
    for row in record.log:
        shares = dict(zip(row.models, row.probabilities, strict=True))
        off = max(off, abs(math.fsum(row.probabilities) - 1.0))
        wrong += (row.model, row.probability) != made.get(row.id)
        wrong += shares.get(row.model) != row.probability
    detail = (
        f"{len(record.log):,} rows for {len(made):,} decisions, {missing} missing or twice, "
        f"{wrong} wrong; probabilities sum to 1 within {off:.0e}"
    )
    holds = missing == 0 and wrong == 0 and off <= ROUNDING
    return Promise("decision log complete", holds, detail)


def _feedback(outcome: DrillResult) -> Promise:
    sent, counters = outcome.record.feedback, outcome.counters
    # A refusal is a reward of 0, which is counted too.
    rewards = counters.rewards - counters.failures["refusal"]
    there = (rewards, counters.repeated, counters.expired)
    here = (sent["counted"], sent["repeated"], sent["expired"])
    detail = f"{here[0]:,} rewards; {here[1]} sent twice and {here[2]} too late were refused"
    if there != here:
        detail += f"; the router counted {there[0]:,}, {there[1]} and {there[2]}"
    return Promise("feedback counted once", there == here and counters.unknown == 0, detail)


def _restart(outcome: DrillResult) -> Promise:
    compared = outcome.record.restart
    differing = ", ".join(what for what, is_same in compared.items() if not is_same)
    found = f"other {differing}" if differing else f"{', '.join(compared)} as before"
    source = "snapshot" if outcome.settings.journal is None else "journal"
    holds = bool(compared) and not differing
    return Promise("restart loses nothing", holds, f"from a {source}: {found}")
