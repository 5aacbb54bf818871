"""The drill: what it promises, that a broken promise is seen, and how recovery is measured."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stageroute.config.prices import Tokens
from stageroute.config.settings import Health
from stageroute.drill import (
    DrillResult,
    DrillSettings,
    Environment,
    Trace,
    read_trace,
    run_drill,
    synthetic_trace,
)
from stageroute.drill.environment import Answer, Attempt, KnownLimits
from stageroute.drill.fleet import FLEET, Event
from stageroute.drill.plot import COLOURS
from stageroute.drill.recovery import (
    Decisions,
    EventRecovery,
    arrival,
    disturbance,
    first_from,
    measure_recovery,
    outage,
    rate_limit,
    regression,
    share_from_here,
)
from stageroute.drill.report import FAILURES, check, figures, most_in_window
from stageroute.drill.results import DrillRecord, Refusal
from stageroute.drill.simulation import Simulation
from stageroute.errors import DatasetError, InvalidInputError

QUERIES = 5_000


@pytest.fixture(scope="module")
def trace() -> Trace:
    return synthetic_trace(QUERIES, seed=0)


@pytest.fixture(scope="module")
def rush(trace: Trace) -> Trace:
    """Five times as fast."""
    return Trace("rush", trace.seconds / 5.0, trace.tokens_in, trace.tokens_out)


@pytest.fixture(scope="module")
def outcome(trace: Trace) -> DrillResult:
    return run_drill(trace)


def broken(outcome: DrillResult) -> set[str]:
    return {promise.name for promise in check(outcome) if not promise.holds}


def test_every_promise_holds_and_everything_happens(outcome: DrillResult) -> None:
    assert broken(outcome) == set()
    assert len(outcome.record.attempts) > QUERIES
    assert outcome.record.refusals == []
    happened = Counter(attempt.outcome for attempt in outcome.record.attempts)
    # The shorter the run, the fewer: the router keeps to its own limits, and these are rare.
    assert set(happened) == {"ok", *FAILURES}
    assert min(outcome.record.feedback.values()) > 0
    assert {event.kind for event in outcome.events} == {
        "outage", "flaky", "arrival", "noise", "rate_limit", "bad_client", "restart", "clock",
        "price", "regression", "bills", "fork", "retirement",
    }  # fmt: skip
    assert len(measure_recovery(outcome)) == len(outcome.events) + 1
    sums = figures(outcome)
    assert sums["answered"] > 0.999
    assert 0.9 < sums["reward_of_oracle"] < 1.02


def test_same_seed_same_drill_and_other_seeds_differ(trace: Trace, outcome: DrillResult) -> None:
    again = run_drill(trace)
    assert again.record == outcome.record
    assert again.counters == outcome.counters
    assert run_drill(trace, DrillSettings(seed=1)).record.attempts != outcome.record.attempts


def test_a_restart_changes_no_decision(
    trace: Trace, outcome: DrillResult, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from_journal = run_drill(trace, DrillSettings(journal=tmp_path / "journal"))
    assert from_journal.record.attempts == outcome.record.attempts
    assert broken(from_journal) == set()
    monkeypatch.setattr(Simulation, "_restart", lambda self: None)
    assert run_drill(trace).record.attempts == outcome.record.attempts


def test_refusals_have_good_reasons(trace: Trace, rush: Trace) -> None:
    binding = run_drill(trace, DrillSettings(hard_limit=1.5))
    assert {refusal.error for refusal in binding.record.refusals} == {"HardLimitError"}
    rushed = run_drill(rush)
    assert len(rushed.record.refusals) > 10
    assert broken(binding) == broken(rushed) == set()


class Liar(Environment):
    """Bills other prices than it publishes."""

    def bill(self, model: str, tokens: Tokens) -> float:
        """Add a thousandth."""
        return 1.001 * super().bill(model, tokens)


class Forgetful(Environment):
    """Uses more tokens than it was asked for, ten times as many."""

    def call(self, query: int, attempt: int, model: str, now: float) -> Answer:
        """Answer at length."""
        answer = super().call(query, attempt, model, now)
        tokens = Tokens(*(10.0 * count for count in answer.tokens))
        return replace(answer, tokens=tokens)


def test_a_lying_environment_is_found_out() -> None:
    trace = synthetic_trace(600, seed=0)
    assert broken(run_drill(trace, environment=Liar(trace, 0))) == {"bills add up"}
    lavish = broken(run_drill(trace, environment=Forgetful(trace, 0)))
    assert "hard limit per hour" in lavish


@pytest.fixture(scope="module")
def tight() -> DrillResult:
    return run_drill(synthetic_trace(4_000, seed=0), DrillSettings(hard_limit=4.5))


def crowd_a_minute(record: DrillRecord) -> None:
    for attempt in record.attempts[2_000:2_700]:
        attempt.time, attempt.model = 1_000.0, "gpt-4.1-nano"
        attempt.tokens = Tokens(20_000.0, 0.0)


def distort_a_row(record: DrillRecord) -> None:
    row = record.log[7]
    record.log[7] = replace(row, probabilities=tuple(0.5 * p for p in row.probabilities))


def overspend(record: DrillRecord) -> None:
    record.attempts[9].bill += 10.0


REFUSAL = Refusal(5, 1.0, "ModelsDownError", {"grok-4.3": ""})
TOO_MANY = FLEET["grok-4.3"].max_concurrent + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda record: record.refusals.append(REFUSAL),
         {"no error while a live model could serve"}),
        (lambda record: record.log.pop(7), {"decision log complete"}),
        (distort_a_row, {"decision log complete"}),
        (overspend, {"average budget", "bills add up", "hard limit per hour"}),
        (crowd_a_minute, {"requests per minute", "tokens per minute", "decision log complete"}),
        (lambda record: record.peaks.update({"grok-4.3": TOO_MANY}), {"queries under way"}),
        (lambda record: record.feedback.update(counted=0), {"feedback counted once"}),
        (lambda record: record.restart.update(counters=False), {"restart loses nothing"}),
        (lambda record: record.fork.update(child=False), {"a fork harms nothing"}),
    ],
)  # fmt: skip
def test_each_broken_promise_is_seen(
    tight: DrillResult, spoil: Callable[[DrillRecord], object], expected: set[str]
) -> None:
    assert broken(tight) == set()
    spoilt = deepcopy(tight.record)
    spoil(spoilt)
    assert broken(replace(tight, record=spoilt)) == expected


def test_an_environment_that_knows_no_limit_calls_refusals_groundless(
    monkeypatch: pytest.MonkeyPatch, rush: Trace
) -> None:
    monkeypatch.setattr(KnownLimits, "why_not", lambda *_: "")
    assert broken(run_drill(rush)) == {"no error while a live model could serve"}


def test_what_a_model_may_be_sent() -> None:
    told = KnownLimits(FLEET["claude-sonnet-4-5"], Health(max_cooldown=60.0))
    most = Tokens(50.0, 50.0)

    def send(now: float) -> Attempt:
        sent = Attempt(0, 0, now, "claude-sonnet-4-5", 1.0, False, 1.0, most, 0.1)
        told.send(sent)
        return sent

    def settle(attempt: Attempt, outcome: str, now: float) -> None:
        attempt.outcome, attempt.tokens = outcome, Tokens(50.0, 0.0)
        told.settle(attempt, now)

    # 120 requests a minute: 3 seconds' worth at once, then 1.9 a second; 16 under way.
    sent = [send(0.0)]
    while told.why_not(100.0, 0.0) == "":
        sent.append(send(0.0))
    assert len(sent) == 5
    sent.append(send(0.0))
    assert told.why_not(100.0, 0.0) == "requests"
    assert told.why_not(100.0, 1.0) == ""
    assert told.why_not(30_000.0, 1.0) == "tokens"
    settle(sent.pop(), "error", 1.0)
    assert told.why_not(100.0, 60.0) == "failed lately"
    assert told.why_not(100.0, 62.0) == "being probed"
    settle(sent.pop(), "ok", 62.0)
    settle(send(62.0), "refusal", 62.0)
    assert told.why_not(100.0, 62.0) == "being probed"
    settle(send(62.0), "ok", 63.0)
    assert told.why_not(100.0, 63.0) == ""
    sent += [send(100.0) for _ in range(12)]
    assert told.why_not(1.0, 200.0) == "concurrency"
    settle(sent.pop(), "timeout", 200.0)
    assert told.why_not(1.0, 261.0) == "being probed"
    assert told.peak == 16


def test_most_in_window_counts_both_ends() -> None:
    times, amounts = [0.0, 30.0, 60.0, 60.1, 200.0], [1.0, 2.0, 4.0, 8.0, 5.0]
    assert most_in_window(times, amounts, 60.0) == 14.0
    assert most_in_window(times, amounts, 59.0) == 14.0
    assert most_in_window(times[:3], amounts[:3], 60.0) == 7.0
    assert most_in_window([], [], 60.0) == 0.0


def traffic(models: str, window: int = 4, probes: str = "", refused: str = "") -> Decisions:
    """One decision a second, each letter a model; marks in the other strings."""
    probes, refused = (marks.ljust(len(models)) for marks in (probes, refused))
    return Decisions(
        np.arange(len(models), dtype=float),
        np.array(list(models)),
        np.array(["rate_limit" if mark == "x" else "ok" for mark in refused]),
        np.array([mark == "x" for mark in probes]),
        window,
    )


def event(kind: str, start: float, end: float | None = None) -> Event:
    return Event(kind, "test", start, start if end is None else end, "a")


def test_shares_from_here_on() -> None:
    share = share_from_here(np.array([True, True, False, False, True]), 2)
    np.testing.assert_array_equal(share, [1.0, 0.5, 0.0, 0.5, np.nan])
    assert np.isnan(share_from_here(np.array([True]), 2)).all()
    assert first_from(share <= 0.5, 0, 5) == 1
    assert first_from(share <= 0.5, 1, 5) == 1
    assert first_from(share > 0.5, 1, 5) is None


OUTAGE, LIMITED, CHANGE = event("outage", 8.0, 18.0), event("limit", 5.0, 15.0), event("any", 5.0)
#                0       8         18        28
SEEN = traffic("ababababaabbbbabbbbbbabababa", probes=" " * 14 + "x" * 10)
FADING, RISING = traffic("aaaaaaaaaabbbbbbbbbb"), traffic("bbbbbbbbbbababababababab")
TRIED = traffic("bbbbbbbbbbaabbbbbbbbbbbb")


def test_trouble_is_measured_by_requests_that_nobody_answers() -> None:
    seen = traffic("abababab", refused="  x x   ")
    record = DrillRecord(unanswered=[(4, 4.0)], refusals=[Refusal(6, 6.0, "ModelsDownError", {})])
    noise = event("noise", 1.0, 5.0)
    row = disturbance(noise, seen, record)
    assert (row.queries, row.note) == (3, "2 of 4 attempts failed; 1 requests unanswered")
    assert disturbance(noise, seen, DrillRecord()).queries == 0


def test_trouble_costs_next_to_nothing(outcome: DrillResult) -> None:
    """Noise, malformed requests and clocks that jump: hardly a request is lost, and no model."""
    rows = {row.event.kind: row for row in measure_recovery(outcome)}
    for kind in ("noise", "bad_client", "clock"):
        start, end = rows[kind].event.start, rows[kind].event.end
        lost = [time for _, time in outcome.record.unanswered if start <= time <= end]
        assert len(lost) <= 1, kind
    assert outcome.counters.failures["bad_request"] > 20
    assert outcome.counters.clock_steps == 2
    flaky, bills = rows["flaky"], rows["bills"]
    assert flaky.queries is not None
    assert flaky.queries <= 100
    assert bills.event.factor == 2.0


def test_more_traffic_for_larger_models() -> None:
    outcome = run_drill(synthetic_trace(6_000, seed=0), DrillSettings(scale=20.0))
    assert outcome.trace.span < 80.0
    assert broken(outcome) == set()


@pytest.mark.parametrize(
    ("rows", "queries", "said"),
    [
        # From decision 20 on, two of the next four are its own: 80 % of one half needs two.
        (outage(OUTAGE, SEEN, 28), [2, 2], "2 requests hit it, then 1 probes"),
        (outage(OUTAGE, traffic("abababab" + "b" * 20), 28), [0, None], ""),
        ([rate_limit(LIMITED, traffic("a" * 20, refused=" " * 6 + "x  x"))], [4], "2 of 10 reques"),
        ([rate_limit(LIMITED, traffic("a" * 20))], [0], ""),
        ([regression(CHANGE, FADING, 0.0, 20)], [5], ""),
        ([regression(CHANGE, FADING, 0.5, 20)], [3], ""),
        ([regression(CHANGE, FADING, 0.0, 10)], [None], ""),
        ([arrival(CHANGE, RISING, 8, 0.5, 24)], [4], "until it has its steady share"),
        ([arrival(CHANGE, TRIED, 10, 0.0, 24)], [7], "until it is rejected"),
        ([arrival(CHANGE, TRIED, 10, 0.0, 24)], [7], "tried 2 times"),
        ([arrival(CHANGE, TRIED, None, 0.0, 24)], [0], "rejected without a trial"),
    ],
)
def test_recovery(rows: Sequence[EventRecovery], queries: list[int | None], said: str) -> None:
    assert [row.queries for row in rows] == queries
    # One decision a second.
    assert [row.seconds for row in rows] == queries
    assert said in f"{rows[0].measure}: {rows[0].note}"


def test_the_azure_trace(shared_data: Path) -> None:
    trace = read_trace(shared_data / "data" / "trace_azure_llm_2023" / "conv.parquet")
    assert len(trace) == 19_366
    outcome = run_drill(trace)
    assert broken(outcome) == set()
    assert all(row.queries is not None for row in measure_recovery(outcome))


def test_command(tmp_path: Path, cli: Callable[..., tuple[str, str]]) -> None:
    picture, written = tmp_path / "drill.png", tmp_path / "drill.json"
    command = "drill", "--queries", 1500, "--no-progress", "--json", written, "--plot", picture
    assert "11 of 11 promises held" in cli(*command)[0]
    assert picture.stat().st_size > 10_000
    assert set(COLOURS) == set(FLEET)
    found = json.loads(written.read_text())
    assert all(promise["holds"] for promise in found["promises"])
    assert {row["event"]["kind"] for row in found["events"]} >= {"outage", "price"}


def test_command_fails_when_a_promise_is_broken(
    monkeypatch: pytest.MonkeyPatch, cli: Callable[..., tuple[str, str]]
) -> None:
    monkeypatch.setattr("stageroute.drill.simulation.Environment", Liar)
    output, errors = cli("drill", "--queries", 300, "--no-progress", status=1)
    assert "THE DRILL FAILED" in output
    assert "broken in this drill: bills add up" in errors


ONES = np.ones(2, dtype=np.int64)
two_requests = partial(Trace, "t", seconds=np.arange(2.0), tokens_in=ONES, tokens_out=ONES)


@pytest.mark.parametrize(
    ("thing", "arguments", "message"),
    [
        (DrillSettings, {"budget": 0.0}, "budget = 0.0: must be finite and above 0, in USD"),
        (DrillSettings, {"hard_limit": -1.0}, "hard_limit = -1.0: must be finite and above 0, in"),
        (DrillSettings, {"max_deployed": 1}, r"max_deployed = 1: must be a whole .* in \[2, 6\]"),
        (DrillSettings, {"stages": 0}, "stages = 0: must be a whole number, at least 1"),
        (DrillSettings, {"scale": 0.0}, "scale = 0.0: must be finite and above 0"),
        (DrillSettings, {"seed": -1}, "seed = -1: must be a whole number"),
        (DrillSettings, {"journal": Path(__file__)}, "give the path of a journal that is not"),
        (synthetic_trace, {"queries": 1, "seed": 0}, "queries = 1: must be a whole .*, at least 2"),
        (two_requests, {"seconds": np.array([1.0, 0.0])}, "t_s must be finite and ascending"),
        (two_requests, {"tokens_out": -ONES}, "tokens_out needs a number of tokens"),
        (two_requests, {"seconds": np.array([0.0])}, "has 1 requests; give at least 2"),
        (read_trace, {"path": Path(__file__)}, "must be a parquet file with columns t_s"),
        (read_trace, {"path": Path("missing")}, "must be a parquet file with columns t_s"),
    ],
)
def test_bad_arguments(thing: Any, arguments: dict[str, Any], message: str) -> None:
    error = DatasetError if thing in {two_requests, read_trace} else InvalidInputError
    with pytest.raises(error, match=message):
        thing(**arguments)
