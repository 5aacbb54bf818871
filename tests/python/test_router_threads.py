"""Many threads and many tasks: limits hold, books balance, threads end."""

import asyncio
import contextlib
import gc
import itertools
import random
import threading
import time
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import router_world
from in_threads import own_threads, run_threads, wait_until
from stageroute import Decision, HardLimit, Model, Price, StageRouter
from stageroute.decision_log.batch import DecisionBatch
from stageroute.decision_log.log import DecisionLog
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
PATIENCE = 30.0
"""Seconds after which something that should have come is not coming."""


class Clock:
    """A clock that goes on by a little whenever somebody looks at it, and can be put forward.

    Many threads look at it; each can ask what it saw last.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self.lock = threading.Lock()
        self.seen = threading.local()

    def __call__(self) -> float:
        with self.lock:
            self.now += 0.003
            self.seen.last = self.now
            return self.now

    def put_forward(self, seconds: float) -> None:
        """Wait, in a simulation."""
        with self.lock:
            self.now += seconds


class Served(NamedTuple):
    """What a thread notes of a query that it had served."""

    id: int
    model: str
    tokens: int
    cost: float
    asked: float
    answered: float
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
        max_cost=4000 * CENT,
        burst_seconds=20.0,
    ),
)


def most_in_a_minute(times: "np.ndarray[Any, Any]", amounts: "np.ndarray[Any, Any]") -> int:
    """Return the largest sum over all windows of 60 seconds, both ends included."""
    sums = np.concatenate([[0], np.cumsum(amounts)])
    first = np.searchsorted(times, times - 60.0, side="left")
    return int((sums[1:] - sums[first]).max())


def most_at_once(served: list[Served]) -> int:
    """Return the largest number of queries under way, by the order of things."""
    events = sorted([(s.sent, 1) for s in served] + [(s.done, -1) for s in served])
    return max(itertools.accumulate(change for _, change in events))


def check_limits(model: Model, served: list[Served], times: dict[int, float]) -> None:
    """Check a model's limits, and that they were limits: that it came near one of them."""
    served.sort(key=lambda s: times[s.id])
    when = np.array([times[s.id] for s in served])
    most = {
        "requests": most_in_a_minute(when, np.ones(len(served), dtype=np.int64)),
        "tokens": most_in_a_minute(when, np.array([s.tokens for s in served])),
        "at once": most_at_once(served),
    }
    limits = {
        "requests": model.requests_per_minute,
        "tokens": model.tokens_per_minute,
        "at once": model.max_concurrent,
    }
    shares = {what: most[what] / limit for what, limit in limits.items() if limit is not None}
    print(f"{model.name}: {most} of {limits}")
    assert 0.9 <= max(shares.values()) <= 1.0


@pytest.mark.slow
def test_no_thread_ever_breaks_a_limit() -> None:
    """A hundred thousand decisions from eight threads; limits checked from the threads' notes.

    Only when exactly a decision counts comes from the decision log: between what a thread saw of
    the clock before the call and after it, others may have put the clock forward.
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
                    clock.put_forward(error.retry_after or 60.0)
            else:
                waiting.append(
                    (decision, question + answer, clock.seen.last, clock.now, next(tickets))
                )
            # Nobody keeps more than a few queries under way, or all would wait for good.
            if len(waiting) > generator.randrange(3):
                decision, tokens, asked, answered, sent = waiting.pop(0)
                # A model with a price is billed by its tokens, 16 cents each.
                is_priced = decision.model == "tokens"
                cost = (16 * tokens if is_priced else generator.randrange(4000)) * CENT
                done = next(tickets)
                router.observe(decision, cost=cost, reward=0.5, tokens=(tokens, 0, 0))
                notes[number].append(
                    Served(decision.id, decision.model, tokens, cost, asked, answered, sent, done)
                )

    run_threads(8, work)
    router.close()
    served = [note for notes_of_thread in notes for note in notes_of_thread]
    assert router.counters.log_dropped == 0
    assert target - 8 * 3 <= len(served) <= len(times) == router.counters.queries
    assert len({s.id for s in served}) == len(served)
    assert all(s.asked <= times[s.id] <= s.answered for s in served)
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


def test_tokens_given_back_late_do_not_break_the_limit() -> None:
    now, limit = [0.0], 6000
    model = Model("a", price=Price(1.0, 1.0), tokens_per_minute=limit)
    router = StageRouter([model], budget=1.0, max_deployed=1, seed=1, clock=lambda: now[0])

    def route_until(end: float) -> Iterator[Any]:
        while now[0] < end:
            try:
                yield router.route(tokens=(0, 100))
            except RateLimitedError as error:
                now[0] += (error.retry_after or 0.0) + 1e-6

    # A minute of queries that reserve 100 tokens each and, as it turns out late, use none.
    slow = list(route_until(60.0))
    # A minute of queries that use what they reserve.
    used = 0
    for decision in route_until(120.0):
        router.observe(decision, tokens=(0, 100, 0))
        used += 100
        if slow:
            router.observe(slow.pop(), tokens=(0, 0, 0))
    assert used <= limit


def test_many_tasks_on_one_loop() -> None:
    models = [Model("a", max_concurrent=7), Model("b", max_concurrent=5)]
    router = make(models=models, stage_queries=100)
    under_way: Counter[str] = Counter()
    most: Counter[str] = Counter()
    ids: list[int] = []

    async def query(generator: random.Random) -> None:
        while True:
            try:
                decision = router.route()
                break
            except RateLimitedError:
                await asyncio.sleep(0)
        under_way[decision.model] += 1
        most[decision.model] = max(most[decision.model], under_way[decision.model])
        for _ in range(generator.randrange(4)):
            await asyncio.sleep(0)
        under_way[decision.model] -= 1
        router.observe(decision, reward=1.0, cost=0.01)
        ids.append(decision.id)

    async def task(number: int) -> None:
        generator = random.Random(number)
        for _ in range(20):
            await query(generator)

    async def main() -> None:
        await asyncio.gather(*(task(number) for number in range(200)))

    asyncio.run(main())
    router.close()
    assert sorted(ids) == list(range(4000))
    assert router.counters.costs == router.counters.rewards == 4000
    assert most["a"] <= 7
    assert most["b"] <= 5
    assert max(most.values()) > 1


def test_threads_end_with_close_and_with_the_router(journal_path: Path) -> None:
    everything: dict[str, Any] = {"stage_seconds": 60.0, "journal": journal_path}
    wait_until(lambda: not own_threads())
    with make(**everything, decision_log=DecisionLog(list)) as router:
        assert own_threads() == ["stageroute-journal", "stageroute-log", "stageroute-stages"]
        router.route()
    assert own_threads() == []
    # A router that is forgotten frees its journal too, with all that it took.
    for life in range(3):
        router = make(**everything, decision_log=DecisionLog(list))
        assert router.counters.queries == 1 + 25 * life
        for _ in range(25):
            router.route()
        reference = weakref.ref(router)
        del router
        gc.collect()
        assert reference() is None
        wait_until(lambda: not own_threads())


def test_everything_at_once_from_many_threads(journal_path: Path) -> None:
    """All methods from eight threads, stages in the background, a journal: it all adds up."""
    batches: list[int] = []
    router = make(
        models=[Model(name, 0.6) for name in FOUR],
        stage_queries=200,
        on_lost_slot="redeploy",
        start_models=lambda _: time.sleep(0.001),
        journal=journal_path,
        decision_log=DecisionLog(lambda batch: batches.append(len(batch)), seconds=0.01),
    )
    made: list[int] = [0] * 8

    def added() -> list[str]:
        return [model.name for model in router.models[len(FOUR) :]]

    def route_when_live() -> Decision:
        """Route; where others have retired the whole live set, once the freed slots are filled."""
        last = time.monotonic() + PATIENCE
        while True:
            try:
                return router.route()
            except NoModelError:
                assert time.monotonic() < last, "the freed slots were not filled"
                time.sleep(0.001)

    def work(number: int) -> None:
        generator = random.Random(number)
        acts: list[Callable[[], object]] = [
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
        ]
        for _ in range(400):
            decision = route_when_live()
            made[number] += 1
            router.observe(decision, reward=generator.random(), cost=generator.randrange(99) * CENT)
            if generator.random() < 0.05:
                # Another thread may have been there before.
                with contextlib.suppress(StalePlanError, UnknownModelError):
                    generator.choice(acts)()

    run_threads(8, work)
    router.close()
    counters = router.counters
    assert counters.queries == counters.rewards == counters.costs == sum(made) == sum(batches)
    assert counters.in_flight == pytest.approx(0.0, abs=1e-9)
    again = partial(make, models=[Model(name, 0.6) for name in FOUR], journal=journal_path)
    with again(stage_queries=200, on_lost_slot="redeploy") as router:
        assert router.counters == counters
