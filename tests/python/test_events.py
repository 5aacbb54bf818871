"""What befalls a router is told: once each, in order, without a lock, to those who ask."""

import gc
import logging
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stageroute import Event, Fleet, HardLimit, Health, Model, Price, StageRouter, errors

REASONS = ("hard_limit", "excluded")


def a_router(*names: Model | str, told: Callable[[Event], object], **given: Any) -> StageRouter:
    settings: dict[str, Any] = {"budget": 0.01, "max_deployed": 2, "seed": 1}
    settings |= {"controller": "inline"} | given
    return StageRouter(names or ("a", "b"), on_event=told, **settings)


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def test_changes_are_told_once_each_in_order(tmp_path: Path) -> None:
    events: list[Event] = []
    with a_router(told=events.append, journal=tmp_path / "router.db") as router:
        router.add_model(Model("c", price=Price(1.0, 2.0)))
        router.update_model("c", price=Price(0.5, 2.0))
        router.set_budget(0.02)
        router.configure(max_deployed=3, budget=0.03)
        router.advance_stage()
        router.pause("a")
        router.resume("a")
        router.configure(fleet=Fleet(forbidden=["c"]))
        router.rollback(1)
        router.flush()
        assert kinds(events) == [
            "stage",
            "model_added",
            "model_changed",
            "budget",
            "settings",
            "budget",
            "stage",
            "model_retired",
            "model_resumed",
            "settings",
            "stage",
        ]
        told = {event.kind: event for event in events}
        assert [event.model for event in events if event.model] == ["c", "c", "a", "a"]
        assert told["model_changed"].details == {
            "changes": {"price": (Price(1.0, 2.0), Price(0.5, 2.0))}
        }
        assert events[3].details == {"before": 0.01, "after": 0.02}
        assert events[6].details["started"] == ("c",)
        assert str(events[3]) == "the budget is 0.02 USD per query, was 0.01"
        number = len(events)
    with a_router(told=events.append, journal=tmp_path / "router.db") as router:
        router.flush()
        assert "stage" not in kinds(events[number:]), "what is repeated is not told again"


def test_a_cool_down_begins_and_ends() -> None:
    events: list[Event] = []
    clock = [1e9]
    health = Health(failures=2, cooldown=10.0)
    router = a_router("a", told=events.append, health=health, clock=lambda: clock[0])
    for _ in range(2):
        router.fail(router.route(), "error")
    clock[0] += 10.0
    router.observe(router.route(), reward=1.0, cost=0.001)
    for _ in range(2):
        router.fail(router.route(), "error")
    router.end_cooldown("a")
    router.end_cooldown("a")
    router.flush()
    found = [(event.kind, event.model, event.time) for event in events if event.model]
    assert found == [
        ("cooldown", "a", 1e9),
        ("recovered", "a", 1e9 + 10.0),
        ("cooldown", "a", 1e9 + 10.0),
        ("recovered", "a", 1e9 + 10.0),
    ]
    assert events[1].details == {"seconds": 10.0}


def test_refusals_are_told_at_the_first_and_then_once_a_minute() -> None:
    events: list[Event] = []
    clock = [1e9]
    limit = HardLimit(0.001, per="total")
    model = Model("a", max_cost=0.001)
    router = a_router(model, told=events.append, hard_limits=[limit], clock=lambda: clock[0])
    router.observe(router.route(), cost=0.001)
    for _ in range(180):
        with pytest.raises(errors.HardLimitError):
            router.route()
        with pytest.raises(errors.ExcludedError):
            router.route(allowed=["a"], max_cost=0.0001)
        clock[0] += 1.0
    router.flush()
    refused = [event.details for event in events if event.kind == "refused"]
    found = {reason: [d["count"] for d in refused if d["reason"] == reason] for reason in REASONS}
    assert found == {"hard_limit": [1, 60, 60], "excluded": [1, 60, 60]}
    assert router.counters.refused_hard_limit == 180


def test_jumps_of_the_clock_and_limits_of_providers_are_told() -> None:
    events: list[Event] = []
    clock = [1e9]
    router = a_router("a", told=events.append, max_age=1e6, clock=lambda: clock[0])
    router.fail(router.route(), "rate_limit", retry_after=0.1)
    for _ in range(200):
        clock[0] += 0.5
        router.observe(router.route(), cost=0.001)
    clock[0] += 0.5
    router.fail(router.route(), "rate_limit", retry_after=0.1)
    clock[0] += 0.5
    router.observe(router.route(), cost=0.001)
    clock[0] -= 300.0
    router.observe(router.route(), cost=0.001)
    router.flush()
    found = {event.kind: event.details for event in events}
    assert found["limit_learnt"]["requests_per_minute"] == pytest.approx(120.0, abs=2.0)
    assert found["clock_step"]["seconds"] == pytest.approx(-300.0)
    assert kinds(events).count("clock_step") == router.counters.clock_steps == 1


def test_a_failed_stage_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: StageRouter) -> None:
        raise RuntimeError("no plan")

    events: list[Event] = []
    router = a_router(told=events.append, stage_queries=5)
    monkeypatch.setattr(StageRouter, "plan_stage", fail)
    for _ in range(12):
        router.route()
    router.flush()
    assert kinds(events) == ["stage", "stage_failed", "stage_failed"]
    assert router.counters.failed_stages == 2


def test_threads_tell_every_event_once_and_in_order() -> None:
    events: list[Event] = []
    names = [f"m{number}" for number in range(8)]
    with a_router("a", *names, told=events.append, max_deployed=9) as router:

        def change(name: str) -> None:
            for number in range(1, 26):
                router.update_model(name, max_cost=float(number))

        threads = [threading.Thread(target=change, args=[name]) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    changed = [event for event in events if event.kind == "model_changed"]
    assert len(changed) == 200
    for name in names:
        values = [e.details["changes"]["max_cost"][1] for e in changed if e.model == name]
        assert values == [float(number) for number in range(1, 26)]


def test_the_callback_holds_no_lock_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Any] = []
    done = threading.Event()

    def use(event: Event) -> None:
        def from_another_thread() -> None:
            router.route()
            router.update_model("a", start_cost=0.5)
            router.advance_stage()
            answers.append(event.kind)

        if event.kind == "budget":
            thread = threading.Thread(target=from_another_thread)
            thread.start()
            thread.join(20.0)
            done.set()
            raise SystemExit("of the callback")

    router = a_router(told=use)
    router.set_budget(0.02)
    assert done.wait(20.0)
    router.close()
    assert answers == ["budget"]
    assert "on_event failed at budget: SystemExit('of the callback')" in caplog.text
    router.set_budget(0.03)
    router.close()
    assert answers == ["budget", "budget"], "the next events are told all the same"


def test_what_is_told_is_logged_without_a_callback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="stageroute"):
        router = StageRouter(["a"], budget=0.01, max_deployed=1, seed=1, health=Health(failures=1))
        router.add_model("b")
        router.fail(router.route(), "error")
        router.close()
    assert [record.getMessage() for record in caplog.records] == [
        "stage 1: live ('a',); started ('a',), stopped ()",
        "model b was added",
        "model a cools down for 5 s",
    ]
    assert caplog.records[2].levelname == "WARNING"


def test_nothing_runs_for_nobody() -> None:
    logger = logging.getLogger("stageroute")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        router = StageRouter(["a"], budget=0.01, max_deployed=1, seed=1)
        router.fail(router.route(), "error")
        router.add_model("b")
        assert router._events is not None
        assert router._events._worker is None
    finally:
        logger.setLevel(before)


def test_a_router_that_tells_events_is_collected() -> None:
    events: list[Event] = []
    router = a_router(told=events.append)
    router.set_budget(0.02)
    router.flush()
    assert router._events is not None
    assert router._events._worker is not None
    _, thread = router._events._worker
    seen = weakref.ref(router)
    del router
    gc.collect()
    assert seen() is None
    thread.join(20.0)
    assert not thread.is_alive()


def test_what_is_not_known_is_none_and_nothing_is_less_than_nothing() -> None:
    router = StageRouter(["a", "b"], budget=0.01, max_deployed=1, seed=1)
    assert (router.state("b").reward_mean, router.state("b").cost_mean) == (None, None)
    for cost in (0.1, 0.2, 0.3, 0.7, 1e-9):
        decisions = [router.route() for _ in range(7)]
        for decision in decisions:
            router.observe(decision, reward=0.5, cost=cost)
        assert router.counters.in_flight >= 0.0
    with pytest.raises(errors.InvalidInputError, match="on_event"):
        StageRouter(["a"], budget=0.01, max_deployed=1, on_event="print")  # type: ignore[arg-type]
