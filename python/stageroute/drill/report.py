"""What a drill amounts to: promises, figures, a text for people, JSON for machines."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from stageroute._core import __version__
from stageroute.drill.environment import FAILURE_RATES
from stageroute.drill.fleet import PRICES_FROM, clock_hour
from stageroute.drill.recovery import EventRecovery
from stageroute.drill.results import DrillRecord, DrillResult
from stageroute.tables import format_table

FORMAT: Final = 1  # of the JSON
BUDGET_TOLERANCE: Final = 0.01
ROUNDING: Final = 1e-9
FAILURES: Final = (*FAILURE_RATES, "rate_limit", "bad_request")
LEGEND = """\
queries and seconds of a recovery count routing decisions, second tries included, from the
event on; "-": it did not come about before the next event. Shares are of the traffic. The oracle
knows every mean, and deploys and mixes anew at every event."""


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
        *_traffic(outcome),
        _log(outcome.record),
        _feedback(outcome),
        _restart(outcome),
        _fork(outcome.record),
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


def _traffic(outcome: DrillResult) -> Iterator[Promise]:
    """Compare the worst of all windows of 60 seconds, wherever they start, with the limits."""
    record, fleet = outcome.record, outcome.settings.fleet
    time, model, tokens = (record.column(name) for name in ("time", "model", "tokens"))
    amounts = {"requests": np.ones(time.size), "tokens": tokens[:, 0] + tokens[:, 1]}
    for kind, amount in amounts.items():
        worst = {}
        for name, known in fleet.items():
            most = most_in_window(time[model == name], amount[model == name], 60.0)
            worst[name] = most / getattr(known, f"{kind}_per_minute")
        yield _within(f"{kind} per minute", worst, "in any 60 s")
    worst = {name: record.peaks[name] / known.max_concurrent for name, known in fleet.items()}
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


def _fork(record: DrillRecord) -> Promise:
    compared = record.fork
    harmed = ", ".join(what for what, is_same in compared.items() if not is_same)
    found = "the child was refused; counters, models, live set as before"
    found = f"harmed: {harmed}" if harmed else found if compared else "no fork on this system"
    return Promise("a fork harms nothing", not harmed, found)


def figures(outcome: DrillResult) -> dict[str, float]:
    """Sum up a drill.

    Returns
    -------
    dict of str to float
        ``requests``, ``decisions``; ``answered``, ``first_try`` (shares of the well-formed);
        ``reward`` (mean of the expected rewards of the answers), ``oracle_reward`` (what the oracle
        would have had), ``reward_of_oracle`` (their ratio); ``spend`` (USD), ``spend_of_budget``;
        ``failed_<reason>`` (decisions).
    """
    record, requests = outcome.record, len(outcome.trace)
    failed = Counter(attempt.outcome for attempt in record.attempts)
    is_answer = record.column("outcome") == "ok"
    tries, answered = np.bincount(record.column("query")), record.column("query")[is_answer]
    starts, best = np.array([(truth.start, truth.reward) for truth in record.truths]).T
    times = record.column("time")[is_answer]
    oracle = float(best[np.searchsorted(starts, times, side="right") - 1].mean())
    reward = float(record.column("quality")[is_answer].mean())
    return {
        "requests": requests,
        "decisions": len(record.attempts),
        "answered": failed["ok"] / (requests - failed["bad_request"]),
        "first_try": int(np.sum(tries[answered] == 1)) / (requests - failed["bad_request"]),
        "reward": reward,
        "oracle_reward": oracle,
        "reward_of_oracle": reward / oracle,
        "spend": record.spend,
        "spend_of_budget": record.spend / (outcome.settings.budget * len(record.attempts)),
        **{f"failed_{reason}": failed[reason] for reason in FAILURES},
    }


def format_report(
    outcome: DrillResult, promises: Sequence[Promise], recoveries: Sequence[EventRecovery]
) -> str:
    """Return a drill as text: what was done, what held, what became of each event."""
    trace, settings, sums = outcome.trace, outcome.settings, figures(outcome)
    failed = ", ".join(f"{sums[f'failed_{reason}']:.0f} {reason}" for reason in FAILURES)
    head = f"""\
{trace.name}: {len(trace):,} requests in {trace.span / 60:.0f} simulated minutes, \
{sums["decisions"]:,.0f} decisions; stageroute {__version__}
b = {settings.budget:g} USD, at most {outcome.hard_limit:.2f} USD an hour, \
M_max = {settings.max_deployed}, {settings.stages} stages, seed {settings.seed}
{PRICES_FROM};
quality, speed, failures and limits are invented
reward {sums["reward"]:.4f}, {sums["reward_of_oracle"]:.1%} of the oracle's \
{sums["oracle_reward"]:.4f}; spend {sums["spend_of_budget"]:.4f} b; \
answered {sums["answered"]:.2%}, at the first try {sums["first_try"]:.2%}
failed tries: {failed}"""
    kept = [[p.name, "holds" if p.holds else "BROKEN", p.detail] for p in promises]
    columns = ("minute", "event", "recovered", "queries", "seconds", "what happened")
    rows = [
        [
            f"{row.event.start / 60:.1f}",
            f"{row.event.kind.replace('_', ' ')} {row.event.model}".strip(),
            row.measure,
            "-" if row.queries is None else f"{row.queries:,}",
            "-" if row.seconds is None else f"{row.seconds:.0f}",
            f"{row.event.title}; {row.note}",
        ]
        for row in recoveries
    ]
    held = sum(promise.holds for promise in promises)
    verdict = f"{held} of {len(promises)} promises held"
    parts = [
        head,
        format_table(("promise", "", "figures"), kept, sides="<<<"),
        format_table(columns, rows, sides="><<>><"),
        LEGEND,
        verdict if held == len(promises) else f"{verdict}: THE DRILL FAILED",
    ]
    return "\n\n".join(parts)


def to_json(
    outcome: DrillResult, promises: Sequence[Promise], recoveries: Sequence[EventRecovery]
) -> dict[str, Any]:
    """Return everything that the report says, and the oracle's mixtures, for machines."""
    settings = outcome.settings
    return {
        "format": FORMAT,
        "version": __version__,
        "trace": outcome.trace.name,
        "settings": asdict(settings)
        | {"journal": settings.journal is not None, "hard_limit": outcome.hard_limit},
        "prices_from": PRICES_FROM,
        "figures": figures(outcome),
        "promises": [asdict(promise) for promise in promises],
        "events": [asdict(recovery) for recovery in recoveries],
        "refusals": [
            asdict(refusal) | {"is_justified": refusal.is_justified}
            for refusal in outcome.record.refusals
        ],
        "oracle": [asdict(truth) for truth in outcome.record.truths],
        "counters": asdict(outcome.counters),
    }
