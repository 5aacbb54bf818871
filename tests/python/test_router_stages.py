"""Stages in the background: planned, started and committed while queries go on."""

import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import router_world
from in_threads import PATIENCE, own_threads, wait_until
from router_world import serve
from stageroute import Deployment, Health, StagePlan, StageRouter
from stageroute.errors import NoModelError, StalePlanError

FOUR = ("a", "b", "c", "d")
make = partial(router_world.make, models=FOUR, budget=0.1)


class Starter:
    """A `start_models` that waits until it is told to go on."""

    def __init__(self, action: Callable[[StagePlan], object]) -> None:
        self.plans: list[StagePlan] = []
        self.went = threading.Semaphore(0)
        self.action = action

    def __call__(self, plan: StagePlan) -> None:
        self.plans.append(plan)
        assert self.went.acquire(timeout=PATIENCE)
        self.action(plan)

    def wait(self, count: int) -> None:
        """Wait until it was called for the `count`-th time."""
        wait_until(lambda: len(self.plans) >= count)

    def go(self) -> None:
        """Let one call go on."""
        self.went.release()


@contextmanager
def started(
    action: Callable[[StagePlan], object] = lambda _: None, **changes: Any
) -> Iterator[tuple[StageRouter, Starter]]:
    """Make a router whose models start when the starter is told; in the end, all go on."""
    starter = Starter(action)
    with make(start_models=starter, **changes) as router:
        try:
            yield router, starter
        finally:
            starter.went.release(1000)


def test_a_stage_is_planned_started_and_committed_in_the_background() -> None:
    with started(stage_queries=100) as (router, starter):
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


def test_a_callback_that_raises_keeps_the_old_set(caplog: pytest.LogCaptureFixture) -> None:
    def fail(plan: StagePlan) -> None:
        if plan.after_stage == 1 and len(starter.plans) < 3:
            raise ZeroDivisionError("no machine is free")

    with started(fail, stage_queries=50) as (router, starter):
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


def test_a_planned_model_that_retires_meanwhile_is_planned_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with started(stage_queries=100) as (router, starter):
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


def test_a_stage_ended_by_hand_overtakes_the_background(caplog: pytest.LogCaptureFixture) -> None:
    with started(stage_queries=100) as (router, starter):
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


def test_one_boundary_however_many_find_it_due() -> None:
    with started(on_lost_slot="redeploy", models=list("abcdef")) as (router, starter):
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


def test_the_whole_live_set_is_lost_while_others_start() -> None:
    with started(on_lost_slot="redeploy") as (router, starter):
        live = router.deployment.models
        router.retire_model(live[0])
        starter.wait(1)
        router.retire_model(live[1])
        with pytest.raises(NoModelError, match="no arm is live"):
            router.route()
        assert router.counters.queries == 0
        starter.went.release(2)
        wait_until(lambda: router.deployment.stage > 1)
        assert set(serve(router, 50)) <= set(FOUR) - set(live)


def test_a_stage_in_two_phases_by_hand() -> None:
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
    assert router.advance_stage().stage == 3
    assert router.counters.failed_stages == 0


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


def test_a_router_forgotten_while_a_callback_runs_ends_after_it() -> None:
    starter = Starter(lambda _: None)
    router = make(stage_queries=10, start_models=starter)
    serve(router, 11)
    starter.wait(1)
    reference = weakref.ref(router)
    del router
    starter.go()

    def is_gone() -> bool:
        gc.collect()
        return reference() is None and not own_threads()

    wait_until(is_gone)


def test_a_callback_may_call_the_router() -> None:
    plans: list[StagePlan] = []

    def start(plan: StagePlan) -> None:
        plans.append(plan)
        assert router.plan_stage().after_stage == router.deployment.stage == plan.after_stage
        router.observe(router.route(), reward=1.0, cost=0.01)
        router.update_model("a", throughput_cap=0.9)
        router.set_budget(0.2)
        stopped = [name for name in plan.stop if name != "a"]
        if stopped and len(plans) < 3:
            router.retire_model(stopped[0])
            assert router.state(stopped[0]).is_retired
        if len(plans) > 5:
            router.advance_stage()

    with make(stage_queries=20, start_models=start) as router:
        wait_until(lambda: serve(router, 1) and router.deployment.stage >= 8)
        assert router.counters.failed_stages == 0
    assert len(plans) > 5


def test_a_callback_may_close_the_router(
    journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    again = partial(make, stage_queries=20, journal=journal_path)
    closed = threading.Event()

    def start(_: StagePlan) -> None:
        router.close()
        closed.set()

    router = again(start_models=start)
    for _ in range(21):
        router.route()
    assert closed.wait(PATIENCE)
    wait_until(lambda: not own_threads())
    assert "stage not advanced" in caplog.text
    with again() as router:
        assert (router.counters.queries, router.deployment.stage) == (21, 1)
