"""Many threads, many tasks, slow neighbours: limits hold, and nobody waits who need not."""

import asyncio
import contextlib
import gc
import itertools
import logging
import random
import threading
import time
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import router_world
from in_threads import own_threads, run_threads, wait_until
from router_world import serve
from stageroute import (
    Decision,
    Deployment,
    HardLimit,
    Health,
    Model,
    Price,
    StagePlan,
    StageRouter,
    solve_deployment,
)
from stageroute.decision_log.batch import DecisionBatch
from stageroute.decision_log.log import DecisionLog
from stageroute.deployment import plan as plan_module
from stageroute.errors import (
    HardLimitError,
    NoModelError,
    RateLimitedError,
    RefusedError,
    SolverError,
    StalePlanError,
    UnknownModelError,
)
from stageroute.journal.store import JournalStore

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


class Stall:
    """Something that blocks whoever comes, from `begin` until `end`."""

    def __init__(self) -> None:
        self.is_on = False
        self.somebody_waits = threading.Event()
        self.is_over = threading.Event()
        self.outlasted = True

    def wait(self, *_: object) -> None:
        """Block, if it has begun."""
        if self.is_on:
            self.somebody_waits.set()
            self.outlasted &= self.is_over.wait(PATIENCE)

    @contextmanager
    def during(self) -> Iterator[None]:
        """Block while the context lasts, which somebody must have run into by then."""
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False
            self.is_over.set()
        assert self.outlasted, "the stall was waited for"


def longest_call(router: StageRouter, stall: Stall, name: str) -> None:
    """Route for half a second and more while somebody else is blocked, and print the longest call.

    The stall ends after the last of these calls, so none of them can have waited for it. How long
    they took is printed and not tested: a loaded machine can stop any thread.
    """
    wait_until(lambda: stall.somebody_waits.is_set() or router.route())
    longest, calls, start = 0.0, 0, time.monotonic()
    while time.monotonic() - start < 0.5 or calls < 2000:
        began = time.perf_counter()
        router.observe(router.route(), reward=1.0, cost=0.05)
        longest = max(longest, time.perf_counter() - began)
        calls += 1
        if calls > 5000:
            # A journal has room for a while, not for all that a fast machine can do in it.
            time.sleep(0.0005)
    assert not stall.is_over.is_set()
    print(
        f"{name}: {calls} calls in a stall of {time.monotonic() - start:.2f} s, the longest took "
        f"{1e3 * longest:.2f} ms"
    )


def test_a_slow_callback_holds_up_no_query() -> None:
    stall = Stall()
    with make(stage_queries=50, start_models=stall.wait) as router, stall.during():
        longest_call(router, stall, "start_models")
        assert router.deployment.stage == 1


def test_a_slow_solver_holds_up_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    stall = Stall()

    def slow(*arguments: Any, **named: Any) -> Any:
        stall.wait()
        return solve_deployment(*arguments, **named)

    monkeypatch.setattr(plan_module, "solve_deployment", slow)
    with make(stage_queries=50) as router, stall.during():
        longest_call(router, stall, "solver")
    stall = Stall()
    with make() as router, stall.during():
        by_hand = threading.Thread(target=router.advance_stage)
        by_hand.start()
        longest_call(router, stall, "solver, stage ended by hand")
    by_hand.join()
    assert router.deployment.stage == 2


def test_a_slow_sink_holds_up_no_query() -> None:
    stall = Stall()
    log = DecisionLog(stall.wait, capacity=100, seconds=0.01)
    with make(decision_log=log) as router, stall.during():
        longest_call(router, stall, "sink")
    assert log.dropped > 0


def test_a_stalled_disk_holds_up_no_query(
    journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stall = Stall()
    execute = JournalStore._execute

    def slow(self: JournalStore, statement: str, values: tuple[object, ...] = ()) -> Any:
        if statement == "COMMIT":
            stall.wait()
        return execute(self, statement, values)

    monkeypatch.setattr(JournalStore, "_execute", slow)
    with make(journal=journal_path, stage_queries=1000) as router, stall.during():
        longest_call(router, stall, "disk")
        # Nor does anything else wait.
        router.add_model("e")
        router.update_model("a", throughput_cap=0.9)
        stage = router.advance_stage().stage
        router.retire_model("e")
    counters = router.counters
    with make(journal=journal_path, stage_queries=1000) as router:
        assert router.counters == counters
        assert router.deployment.stage >= stage


class Starter:
    """A `start_models` that waits until it is told to go on."""

    def __init__(self, action: Callable[[StagePlan], object] = lambda _: None) -> None:
        self.plans: list[StagePlan] = []
        self.went = threading.Semaphore(0)
        self.action = action

    def __call__(self, plan: StagePlan) -> None:
        self.plans.append(plan)
        assert self.went.acquire(timeout=PATIENCE)
        self.action(plan)

    def wait(self, count: int) -> None:
        """Wait until it was called so many times."""
        wait_until(lambda: len(self.plans) >= count)

    def go(self) -> None:
        """Let one call go on."""
        self.went.release()


def test_a_stage_is_planned_started_and_committed_in_the_background() -> None:
    starter = Starter()
    router = make(stage_queries=100, start_models=starter)
    old = set(router.deployment.models)
    # The live ones disappoint, so that others are to start.
    serve(router, 101, dict.fromkeys(FOUR, 0.0))
    starter.wait(1)
    plan = starter.plans[0]
    assert plan.after_stage == 1
    assert set(plan.start) == set(FOUR) - old
    assert set(plan.stop) == old
    # While the models start, the old set serves.
    assert set(serve(router, 200)) <= old
    assert router.deployment.stage == 1
    starter.go()
    wait_until(lambda: router.route().stage == 2)
    assert router.deployment.models == plan.models
    assert set(serve(router, 20)) <= set(plan.models)
    starter.go()
    router.close()


def test_a_callback_that_raises_keeps_the_old_set(caplog: pytest.LogCaptureFixture) -> None:
    def fail(plan: StagePlan) -> None:
        if plan.after_stage == 1 and len(starter.plans) < 3:
            raise ZeroDivisionError("no machine is free")

    starter = Starter(fail)
    router = make(stage_queries=50, start_models=starter)
    old = set(router.deployment.models)
    for failed in (1, 2):
        wait_until(lambda: serve(router, 1) and len(starter.plans) == failed)  # noqa: B023
        starter.go()
        wait_until(lambda: router.counters.failed_stages == failed)  # noqa: B023
        assert router.deployment.stage == 1
        assert set(serve(router, 20)) <= old
    assert caplog.text.count("the live set stays as it was: no machine is free") == 2
    wait_until(lambda: serve(router, 1) and len(starter.plans) == 3)
    starter.go()
    wait_until(lambda: router.deployment.stage == 2)
    assert router.counters.failed_stages == 2
    starter.go()
    router.close()


def test_a_planned_model_that_retires_meanwhile_is_planned_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starter = Starter()
    router = make(stage_queries=100, start_models=starter)
    serve(router, 101, dict.fromkeys(FOUR, 0.0))
    starter.wait(1)
    gone = starter.plans[0].start[0]
    router.retire_model(gone)
    starter.go()
    starter.wait(2)
    assert gone not in starter.plans[1].models
    starter.go()
    wait_until(lambda: router.deployment.stage == 2)
    assert router.deployment.models == starter.plans[1].models
    assert router.counters.failed_stages == 0
    assert "stage not advanced" not in caplog.text
    starter.go()
    router.close()


def test_a_stage_ended_by_hand_overtakes_the_background(caplog: pytest.LogCaptureFixture) -> None:
    starter = Starter()
    router = make(stage_queries=100, start_models=starter)
    serve(router, 101)
    starter.wait(1)
    by_hand = router.advance_stage()
    starter.go()
    wait_until(lambda: "dropped what was planned in the background" in caplog.text)
    assert router.deployment == by_hand
    assert router.counters.failed_stages == 0
    # The new stage has all its queries before the background comes again.
    serve(router, 99)
    time.sleep(0.05)
    assert len(starter.plans) == 1
    starter.go()
    router.close()


def test_one_boundary_however_many_find_it_due() -> None:
    starter = Starter()
    router = make(on_lost_slot="redeploy", models="abcdef", start_models=starter)
    router.retire_model(router.deployment.models[0])
    starter.wait(1)
    # This finds the stage due too, and asks for the next one.
    router.add_model("g")
    router.retire_model("g")
    starter.go()
    wait_until(lambda: router.deployment.stage == 2)
    serve(router, 50)
    time.sleep(0.05)
    assert len(starter.plans) == 1
    assert router.deployment.stage == 2
    router.close()


def test_a_stage_in_two_phases_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    router = make()
    before = router.deployment
    plan = router.plan_stage()
    assert router.deployment == before
    assert router.route().stage == 1
    live = router.commit(plan)
    assert isinstance(live, Deployment)
    assert (live.stage, live.models) == (2, plan.models)
    assert router.deployment == live
    with pytest.raises(StalePlanError, match="follows stage 1, and stage 2 is running: plan again"):
        router.commit(plan)
    plan = router.plan_stage()
    router.retire_model(plan.models[0])
    with pytest.raises(StalePlanError, match=f"{plan.models[0]} retired after this plan was made"):
        router.commit(plan)
    assert router.deployment == live

    def fail(*_: object, **__: object) -> None:
        raise SolverError("no proven optimum")

    with monkeypatch.context() as patched:
        patched.setattr(plan_module, "solve_deployment", fail)
        with pytest.raises(SolverError):
            router.plan_stage()
        with pytest.raises(SolverError):
            router.advance_stage()
    assert router.deployment == live
    assert router.counters.failed_stages == 0
    assert router.advance_stage().stage == 3


@pytest.mark.parametrize("controller", ["inline", "background"])
@pytest.mark.parametrize("loss", ["retired", "failed"])
@pytest.mark.parametrize("on_lost_slot", ["redeploy", "leave_empty"])
def test_a_lost_slot(controller: str, loss: str, on_lost_slot: str) -> None:
    now = [1_700_000_000.0]
    router = make(
        on_lost_slot=on_lost_slot,
        controller=controller,
        health=Health(failures=1, cooldown=60.0, failed_after=1),
        clock=lambda: now[0],
    )
    lost = router.deployment.models[0]
    if loss == "retired":
        router.retire_model(lost)
    else:
        decision = router.route(allowed=[lost])
        router.fail(decision, "error")
        assert router.state(lost).health == "failed"
    if on_lost_slot == "leave_empty":
        time.sleep(0.02)
        assert set(serve(router, 50)) == {router.deployment.models[1]}
        assert router.deployment.stage == 1
        router.advance_stage()
    else:
        wait_until(lambda: router.route().stage == 2)
    assert lost not in router.deployment.models
    assert len(router.deployment.models) == 2
    assert lost not in serve(router, 50)
    # A failed model is a candidate again when its cool-down is over; a retired one never is.
    now[0] += 61.0
    serve(router, 1)
    serve(router, 200, dict.fromkeys(FOUR, 0.0))
    candidates = {candidate.model for candidate in router.plan_stage().candidates}
    assert (lost in candidates) == (loss == "failed")
    router.close()


def test_the_whole_live_set_is_lost_while_others_start() -> None:
    starter = Starter()
    router = make(on_lost_slot="redeploy", start_models=starter)
    live = router.deployment.models
    router.retire_model(live[0])
    starter.wait(1)
    router.retire_model(live[1])
    with pytest.raises(NoModelError, match="no arm is live"):
        router.route()
    assert router.counters.queries == 0
    starter.go()
    starter.go()
    wait_until(lambda: router.deployment.stage > 1)
    assert set(serve(router, 50)) <= set(FOUR) - set(live)
    router.close()


def test_a_model_that_is_not_live_loses_no_slot() -> None:
    health = Health(failures=1, failed_after=1)
    router = make(on_lost_slot="redeploy", controller="inline", health=health)
    lost = router.deployment.models[0]
    decision = router.route(allowed=[lost])
    router.retire_model(lost)
    assert router.deployment.stage == 2
    # Late news of a model that is gone.
    router.fail(decision, "timeout")
    router.route()
    assert router.deployment.stage == 2


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


def test_a_router_forgotten_while_a_callback_runs_ends_after_it() -> None:
    starter = Starter()
    router = make(stage_queries=10, start_models=starter)
    serve(router, 11)
    starter.wait(1)
    reference = weakref.ref(router)
    del router
    gc.collect()
    starter.go()

    def is_gone() -> bool:
        gc.collect()
        return reference() is None and not own_threads()

    wait_until(is_gone)


def test_a_callback_may_call_the_router() -> None:
    calls: list[object] = []

    def start(plan: StagePlan) -> None:
        router = routers[0]
        calls.extend([router.state("a"), router.plan_stage(), router.counters, router.deployment])
        router.observe(router.route(), reward=1.0, cost=0.01)
        router.update_model("a", throughput_cap=0.9)
        router.set_budget(0.2)
        stopped = [name for name in plan.stop if name != "a"]
        if stopped and not router.state(stopped[0]).is_retired and len(calls) < 10:
            router.retire_model(stopped[0])
        with pytest.raises(UnknownModelError):
            router.retire_model("unknown")
        if len(calls) > 20:
            router.advance_stage()

    routers: list[StageRouter] = []
    routers.append(make(stage_queries=20, start_models=start))
    router = routers[0]
    wait_until(lambda: serve(router, 1) and router.deployment.stage >= 8)
    assert router.counters.failed_stages == 0
    router.close()
    assert len(calls) > 20


def test_a_callback_may_close_the_router(
    journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    closed = threading.Event()

    def start(_: StagePlan) -> None:
        routers[0].close()
        closed.set()

    routers: list[StageRouter] = []
    routers.append(make(stage_queries=20, start_models=start, journal=journal_path))
    with caplog.at_level(logging.WARNING, logger="stageroute"):
        for _ in range(21):
            routers[0].route()
        assert closed.wait(PATIENCE)
        wait_until(lambda: not own_threads())
    assert "stage not advanced" in caplog.text
    with make(stage_queries=20, journal=journal_path) as router:
        assert (router.counters.queries, router.deployment.stage) == (21, 1)


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
