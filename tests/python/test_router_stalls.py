"""Slow neighbours of a router: no query waits for them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import router_world
from in_threads import PATIENCE, wait_until
from router_world import serve
from stageroute import StageRouter, solve_deployment
from stageroute.decision_log.log import DecisionLog
from stageroute.deployment import plan as plan_module
from stageroute.journal.store import JournalStore

make = partial(router_world.make, models=list("abcd"), budget=0.1)


class Stall:
    """Something that blocks all its callers while `during` lasts."""

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


def serve_through(router: StageRouter, stall: Stall) -> None:
    """Serve queries while somebody else is blocked: it ends after them, so none can have waited."""
    wait_until(lambda: stall.somebody_waits.is_set() or router.route())
    serve(router, 5000)
    assert not stall.is_over.is_set()


def test_a_slow_callback_holds_up_no_query() -> None:
    stall = Stall()
    with make(stage_queries=50, start_models=stall.wait) as router, stall.during():
        serve_through(router, stall)
        assert router.deployment.stage == 1


def test_a_slow_solver_holds_up_no_query(monkeypatch: pytest.MonkeyPatch) -> None:
    stall = Stall()

    def slow(*arguments: Any, **named: Any) -> Any:
        stall.wait()
        return solve_deployment(*arguments, **named)

    monkeypatch.setattr(plan_module, "solve_deployment", slow)
    with make(stage_queries=50) as router, stall.during():
        serve_through(router, stall)
    stall = Stall()
    with make() as router, stall.during():
        by_hand = threading.Thread(target=router.advance_stage)
        by_hand.start()
        serve_through(router, stall)
    by_hand.join()
    assert router.deployment.stage == 2


def test_a_slow_sink_holds_up_no_query() -> None:
    stall = Stall()
    log = DecisionLog(stall.wait, capacity=100, seconds=0.01)
    with make(decision_log=log) as router, stall.during():
        serve_through(router, stall)
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
        serve_through(router, stall)
        # Nor does anything else wait.
        router.add_model("e")
        router.update_model("a", throughput_cap=0.9)
        stage = router.advance_stage().stage
        router.retire_model("e")
    counters = router.counters
    with make(journal=journal_path, stage_queries=1000) as router:
        assert router.counters == counters
        assert router.deployment.stage >= stage
