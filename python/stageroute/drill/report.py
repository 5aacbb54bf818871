"""What a person and a machine see of a drill: tables, and JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from stageroute._core import __version__
from stageroute.drill.environment import FAILURE_RATES
from stageroute.drill.fleet import PRICES_FROM
from stageroute.drill.promises import Promise
from stageroute.drill.recovery import EventRecovery
from stageroute.drill.results import DrillResult
from stageroute.tables import format_table

FORMAT: Final = 1  # of the JSON
LEGEND = """\
queries and seconds of a recovery count routing decisions, second tries included, from the
event on; "-": it did not come about before the next event. Shares are of the traffic. The oracle
knows every mean, and deploys and mixes anew at every event."""


def figures(outcome: DrillResult) -> dict[str, float]:
    """Sum up a drill.

    Returns
    -------
    dict of str to float
        ``requests``, ``decisions``; ``answered``, ``first_try`` (shares of the requests);
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
        "answered": failed["ok"] / requests,
        "first_try": int(np.sum(tries[answered] == 1)) / requests,
        "reward": reward,
        "oracle_reward": oracle,
        "reward_of_oracle": reward / oracle,
        "spend": record.spend,
        "spend_of_budget": record.spend / (outcome.settings.budget * len(record.attempts)),
        **{f"failed_{reason}": failed[reason] for reason in (*FAILURE_RATES, "rate_limit")},
    }


def format_report(
    outcome: DrillResult, promises: Sequence[Promise], recoveries: Sequence[EventRecovery]
) -> str:
    """Return a drill as text: what was done, what held, what became of each event."""
    trace, settings, sums = outcome.trace, outcome.settings, figures(outcome)
    failed = ", ".join(
        f"{sums[f'failed_{reason}']:.0f} {reason}" for reason in (*FAILURE_RATES, "rate_limit")
    )
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
    held = sum(promise.holds for promise in promises)
    verdict = f"{held} of {len(promises)} promises held"
    parts = [
        head,
        format_table(("promise", "", "figures"), kept, sides="<<<"),
        format_table(columns, [_event_row(recovery) for recovery in recoveries], sides="><<>><"),
        LEGEND,
        verdict if held == len(promises) else f"{verdict}: THE DRILL FAILED",
    ]
    return "\n\n".join(parts)


def _event_row(row: EventRecovery) -> list[str]:
    event = row.event
    return [
        f"{event.start / 60:.1f}",
        f"{event.kind.replace('_', ' ')} {event.model}".strip(),
        row.measure,
        "-" if row.queries is None else f"{row.queries:,}",
        "-" if row.seconds is None else f"{row.seconds:.0f}",
        f"{event.title}; {row.note}",
    ]


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
