"""Slow neighbours of a router: nobody waits who need not."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import router_world
from in_threads import wait_until
from stageroute import StageRouter, solve_deployment
from stageroute.decision_log.log import DecisionLog
from stageroute.deployment import plan as plan_module
from stageroute.journal.store import JournalStore

make = partial(router_world.make, models="abcd", budget=0.1)
PATIENCE = 30.0
"""Seconds after which something that should have come is not coming."""


class Stall:
    """Something that blocks everybody who comes while `during` lasts."""

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
