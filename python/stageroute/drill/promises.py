"""What must hold in every drill, checked against the environment's own ledger."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from stageroute.config.models import Tokens
from stageroute.drill.fleet import FLEET
from stageroute.drill.settings import HOUR, STARTS, DrillResult

__all__ = ["Promise", "check", "most_in_window"]

BUDGET_TOLERANCE: Final = 0.01
ROUNDING: Final = 1e-9
MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise, whether it holds, and the figures behind that."""

    name: str
    holds: bool
    detail: str


def check(outcome: DrillResult) -> tuple[Promise, ...]:
    """Check every promise of a drill that is over."""
    checks: tuple[tuple[str, Callable[[DrillResult], tuple[bool, str]]], ...] = (
        ("no error while a live model could serve", _refusals),
        ("average budget", _budget),
        ("bills add up", _ledger),
        ("hard limit per hour", _hard_limit),
        ("requests per minute", _requests),
        ("tokens per minute", _tokens),
        ("queries under way", _concurrency),
        ("decision log complete", _log),
        ("feedback counted once", _feedback),
        ("restart loses nothing", _restart),
    )
    return tuple(Promise(name, *verify(outcome)) for name, verify in checks)


def most_in_window(times: ArrayLike, amounts: ArrayLike, seconds: float) -> float:
    """Return the most that any window of `seconds` holds, both of its ends included.

    Times must ascend, and amounts, one for each time, must not be negative.
    """
    times, total = np.asarray(times, dtype=np.float64), np.cumsum(amounts)
    before = np.searchsorted(times, times - seconds)
    return float(np.max(total - np.append(0.0, total)[before], initial=0.0))


def _refusals(outcome: DrillResult) -> tuple[bool, str]:
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
    return all(refusal.is_justified for refusal in record.refusals), detail


def _budget(outcome: DrillResult) -> tuple[bool, str]:
    decisions, budget = len(outcome.record.attempts), outcome.settings.budget
    spend = outcome.record.spend
    ratio = spend / (budget * decisions)
    detail = f"{spend:.4f} USD for {decisions:,} decisions: {ratio:.4f} of the budget"
    return ratio <= 1.0 + BUDGET_TOLERANCE, detail


def _ledger(outcome: DrillResult) -> tuple[bool, str]:
    spend, billed = outcome.record.spend, outcome.counters.billed
    detail = f"the environment's {spend:.9f} USD, the router's {billed:.9f}"
    return abs(spend - billed) <= ROUNDING * max(spend, billed), detail


def _hard_limit(outcome: DrillResult) -> tuple[bool, str]:
    hours: defaultdict[int, list[float]] = defaultdict(list)
    for attempt in outcome.record.attempts:
        hours[int((STARTS + attempt.time) // HOUR)].append(attempt.bill)
    most = max((math.fsum(bills) for bills in hours.values()), default=0.0)
    limit = outcome.hard_limit
    detail = f"at most {most:.4f} of {limit:.4f} USD in a clock hour ({most / limit:.1%})"
    return most <= limit * (1.0 + ROUNDING), detail


def _requests(outcome: DrillResult) -> tuple[bool, str]:
    return _per_minute(outcome, lambda _: 1.0, "requests_per_minute")


def _tokens(outcome: DrillResult) -> tuple[bool, str]:
    return _per_minute(outcome, lambda used: used.input + used.output, "tokens_per_minute")


def _per_minute(
    outcome: DrillResult, amount: Callable[[Tokens], float], limit: str
) -> tuple[bool, str]:
    """Compare the worst of all windows of 60 seconds, wherever they start, with the limit."""
    worst: dict[str, float] = {}
    for name, model in FLEET.items():
        sent = [attempt for attempt in outcome.record.attempts if attempt.model == name]
        amounts = [amount(attempt.tokens) for attempt in sent]
        most = most_in_window([attempt.time for attempt in sent], amounts, MINUTE)
        worst[name] = most / getattr(model, limit)
    return _verdict(worst, "in any 60 s")


def _concurrency(outcome: DrillResult) -> tuple[bool, str]:
    peaks = outcome.record.peaks
    return _verdict({name: peaks[name] / FLEET[name].max_concurrent for name in FLEET}, "at once")


def _verdict(worst: dict[str, float], where: str) -> tuple[bool, str]:
    name = max(worst, key=worst.__getitem__)
    detail = f"at most {worst[name]:.1%} of the limit {where} ({name})"
    return worst[name] <= 1.0 + ROUNDING, detail


def _log(outcome: DrillResult) -> tuple[bool, str]:
    record = outcome.record
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
    return missing == 0 and wrong == 0 and off <= ROUNDING, detail


def _feedback(outcome: DrillResult) -> tuple[bool, str]:
    sent, counters = outcome.record.feedback, outcome.counters
    # A refusal is a reward of 0, which is counted too.
    rewards = counters.rewards - counters.failures["refusal"]
    there = (rewards, counters.repeated, counters.expired)
    here = (sent["counted"], sent["repeated"], sent["expired"])
    detail = f"{here[0]:,} rewards; {here[1]} sent twice and {here[2]} too late were refused"
    if there != here:
        detail += f"; the router counted {there[0]:,}, {there[1]} and {there[2]}"
    return there == here and counters.unknown == 0, detail


def _restart(outcome: DrillResult) -> tuple[bool, str]:
    compared = outcome.record.restart
    differing = [what for what, is_same in compared.items() if not is_same]
    source = "snapshot" if outcome.settings.journal is None else "journal"
    detail = f"from a {source}: {', '.join(compared)} as before"
    if differing:
        detail = f"from a {source}: other {', '.join(differing)}"
    return bool(compared) and not differing, detail
