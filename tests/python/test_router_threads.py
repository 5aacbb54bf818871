"""Many threads and many tasks: limits hold, books balance, threads end."""

import contextlib
import gc
import itertools
import random
import threading
import time
import weakref
from collections import Counter, defaultdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import router_world
import soak_limits
from in_threads import own_threads, run_threads, wait_until
from stageroute import Decision, HardLimit, Model, Price, StageRouter
from stageroute.decision_log.batch import DecisionBatch
from stageroute.decision_log.log import DecisionLog
from stageroute.drill.report import most_in_window
from stageroute.errors import (
    HardLimitError,
    NoModelError,
    RateLimitedError,
    RefusedError,
    StalePlanError,
    UnknownModelError,
)

FOUR = ("a", "b", "c", "d")
make = partial(router_world.make, models=FOUR, budget=0.1)


class Clock:
    """A clock that goes on by a little whenever a thread looks at it, and can be put forward."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.lock = threading.Lock()

    def __call__(self, seconds: float = 0.003) -> float:
        with self.lock:
            self.now += seconds
            return self.now


class Served(NamedTuple):
    """What a thread notes of a query that it had served."""

    id: int
    model: str
    tokens: int
    cost: float
    sent: int
    done: int


CENT = 2.0**-20
"""Costs are whole multiples of it, so that their sums are exact."""

LIMITED = (
    Model("requests", requests_per_minute=1200, max_cost=4000 * CENT),
    Model(
        "tokens",
        price=Price(16e6 * CENT, 16e6 * CENT),
        tokens_per_minute=60_000,
        max_tokens=200,
        burst_seconds=1.0,
    ),
    Model("concurrent", max_concurrent=3, requests_per_minute=3000, max_cost=4000 * CENT),
    Model(
        "all",
        max_concurrent=2,
        requests_per_minute=800,
        tokens_per_minute=30_000,
        max_tokens=200,
        max_cost=4000 * CENT,
        burst_seconds=20.0,
    ),
)


def most_at_once(served: list[Served]) -> int:
    """Return the largest number of queries under way, by the order of things."""
    events = sorted([(s.sent, 1) for s in served] + [(s.done, -1) for s in served])
    return max(itertools.accumulate(change for _, change in events))


def check_limits(model: Model, served: list[Served], times: dict[int, float]) -> None:
    """Check a model's limits, and that they were limits: that it came near one of them."""
    served.sort(key=lambda s: times[s.id])
    when, tokens = [times[s.id] for s in served], [s.tokens for s in served]
    requests = most_in_window(when, [1.0] * len(when), 60.0)
    most = [requests, most_in_window(when, tokens, 60.0), most_at_once(served)]
    limits = [model.requests_per_minute, model.tokens_per_minute, model.max_concurrent]
    print(f"{model.name}: {most} of {limits}")
    shares = [much / limit for much, limit in zip(most, limits, strict=True) if limit is not None]
    assert 0.9 <= max(shares) <= 1.0


@pytest.mark.slow
def test_no_thread_ever_breaks_a_limit() -> None:
    """A hundred thousand decisions from eight threads; limits checked from the threads' notes.

    Only when a decision was made comes from the decision log: other threads may put the clock
    forward meanwhile.
    """
    target, usd = 100_000, 16.0
    clock = Clock(1_700_000_000.0)
    tickets = itertools.count()
    times: dict[int, float] = {}
    notes: list[list[Served]] = [[] for _ in range(8)]
    refused: Counter[type] = Counter()

    def log(batch: DecisionBatch) -> None:
        columns = batch.columns
        times.update(zip(columns["id"].tolist(), columns["time"].tolist(), strict=True))

    router = StageRouter(
        LIMITED,
        budget=0.01,
        max_deployed=4,
        hard_limits=[HardLimit(usd, "hour")],
        clock=clock,
        # Threads that put the clock forward by hours lose no query that another has under way.
        lost_after=None,
        decision_log=DecisionLog(log, capacity=1 << 17),
        seed=2,
    )

    def work(number: int) -> None:
        generator = random.Random(number)
        waiting: list[tuple[Any, ...]] = []
        while router.counters.queries < target:
            question, answer = generator.randrange(50), generator.randrange(1, 50)
            try:
                decision = router.route(tokens=(question, answer))
            except RefusedError as error:
                refused[type(error)] += 1
                if isinstance(error, HardLimitError):
                    clock(error.retry_after or 60.0)
            else:
                waiting.append((decision, question + answer, next(tickets)))
            # Nobody keeps more than a few queries under way, or all would wait for good.
            if len(waiting) > generator.randrange(3):
                decision, tokens, sent = waiting.pop(0)
                # A model with a price is billed by its tokens, 16 cents each.
                is_priced = decision.model == "tokens"
                cost = (16 * tokens if is_priced else generator.randrange(4000)) * CENT
                done = next(tickets)
                router.observe(decision, cost=cost, reward=0.5, tokens=(tokens, 0, 0))
                notes[number].append(Served(decision.id, decision.model, tokens, cost, sent, done))

    run_threads(8, work)
    router.close()
    served = [note for notes_of_thread in notes for note in notes_of_thread]
    assert router.counters.log_dropped == 0
    assert target - 8 * 3 <= len(served) <= len(times) == router.counters.queries
    assert len({s.id for s in served}) == len(served)
    for model in LIMITED:
        check_limits(model, [s for s in served if s.model == model.name], times)
    spent: defaultdict[float, float] = defaultdict(float)
    for s in served:
        spent[times[s.id] // 3600.0] += s.cost
    print(f"{len(spent)} hours of at most {max(spent.values())} USD; {dict(refused)}")
    assert max(spent.values()) <= usd
    assert len(spent) > 3
    assert refused[RateLimitedError] > 1000
    assert refused[HardLimitError] > 0
    assert router.counters.above_reservation == 0


def test_threads_end_with_close_and_with_the_router(journal_path: Path) -> None:
    everything: dict[str, Any] = {"stage_seconds": 60.0, "journal": journal_path}
    wait_until(lambda: not own_threads())
    with make(**everything, decision_log=DecisionLog(list)) as router:
        assert own_threads() == ["stageroute-journal", "stageroute-log", "stageroute-stages"]
        router.route()
    assert own_threads() == []
    # A router that is forgotten frees its journal too, with all that it took.
    for life in range(3):
        log = DecisionLog(list)
        router = make(**everything, decision_log=log)
        assert router.counters.queries == 1 + 25 * life
        for _ in range(25):
            router.route()
        reference = weakref.ref(router)
        del router
        gc.collect()
        assert reference() is None
        wait_until(lambda: not own_threads())
        log.flush()
        log.close()


@pytest.mark.parametrize("controller", ["inline", "background"])
def test_everything_at_once_from_many_threads(journal_path: Path, controller: str) -> None:
    """All methods from eight threads, stages that end by themselves, a journal: it all adds up."""
    ids: list[int] = []
    again = partial(
        make,
        models=[Model(name, 0.6) for name in FOUR],
        stage_queries=200,
        on_lost_slot="redeploy",
        journal=journal_path,
        controller=controller,
    )
    router = again(
        start_models=(lambda _: time.sleep(0.001)) if controller == "background" else None,
        decision_log=DecisionLog(
            lambda batch: ids.extend(batch.columns["id"].tolist()), seconds=0.001
        ),
    )
    made: list[int] = [0] * 8

    def added() -> list[str]:
        return [model.name for model in router.models[len(FOUR) :]]

    def work(number: int) -> None:
        generator = random.Random(number)
        acts: tuple[Any, ...] = (
            lambda: router.add_model(Model(f"{number} {made[number]}", 0.6)),
            lambda: router.retire_model(generator.choice(["none", *added()])),
            lambda: router.update_model("a", throughput_cap=generator.uniform(0.5, 1.0)),
            lambda: router.set_budget(generator.uniform(0.05, 0.2)),
            router.advance_stage,
            lambda: router.commit(router.plan_stage()),
            lambda: router.snapshot(journal_path.with_name(f"snapshot {number}")),
            router.flush,
            lambda: [router.state(model.name) for model in router.models],
            lambda: (router.counters, router.limits, router.deployment),
        )
        for _ in range(400):
            decision = route_when_live(router)
            made[number] += 1
            router.observe(decision, reward=generator.random(), cost=generator.randrange(99) * CENT)
            if generator.random() < 0.05:
                # Another thread may have been there before.
                with contextlib.suppress(StalePlanError, UnknownModelError):
                    generator.choice(acts)()

    run_threads(8, work)
    router.close()
    counters = router.counters
    assert counters.queries == counters.rewards == counters.costs == sum(made)
    assert ids == list(range(counters.queries))
    assert counters.in_flight == pytest.approx(0.0, abs=1e-9)
    with again() as router:
        assert router.counters == counters


def route_when_live(router: StageRouter) -> Decision:
    """Route; where others have retired the whole live set, once the freed slots are filled."""
    decisions: list[Decision] = []

    def is_routed() -> bool:
        with contextlib.suppress(NoModelError):
            decisions.append(router.route())
        return bool(decisions)

    wait_until(is_routed)
    return decisions[0]


def test_no_hard_limit_is_exceeded_whatever_happens(tmp_path: Path) -> None:
    """At length by ``python tests/python/soak_limits.py``."""
    done = soak_limits.soak(tmp_path, 40_000, lives=3)
    hours, days = done.spent()
    assert max(hours.values()) <= soak_limits.HIGH + 1e-9
    assert max(days.values()) <= soak_limits.PER_DAY + 1e-9
    assert max(hours.values()) > 0.9 * soak_limits.LOW
    assert done.refused > 1_000
