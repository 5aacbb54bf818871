"""Processes and threads: forks, exits without `close`, callbacks that raise, cycles, finalisers."""

import asyncio
import gc
import logging
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

import process_child
from in_threads import own_threads, wait_until
from stageroute import DecisionLog, JournalSettings, Model, StageRouter
from stageroute.errors import RateLimitedError
from stageroute.threads import start_thread

SCRIPT = Path(process_child.__file__)
ROOT = SCRIPT.parents[2]
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def run(scenario: str, folder: Path) -> list[str]:
    """Run a scenario in a process of its own; return the lines that it printed."""
    command = [sys.executable, str(SCRIPT), scenario, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.splitlines()


def queries_of(folder: Path) -> int:
    """Open the journal that a scenario has left, and count."""
    with process_child.make(str(folder)) as router:
        return router.counters.queries


def lines_of(log: Path) -> int:
    return len(log.read_text().splitlines())


@needs_fork
def test_an_inherited_router_refuses_every_call_and_the_parent_goes_on(tmp_path: Path) -> None:
    assert run("every_call", tmp_path) == ["child 0", "queries 200"]
    assert queries_of(tmp_path) == 200
    assert lines_of(tmp_path / "log.jsonl") == 200


@needs_fork
def test_children_that_end_or_drop_the_router_leave_the_journal_whole(tmp_path: Path) -> None:
    assert run("leaving", tmp_path) == ["child 3", "child 3", "queries 300"]
    assert queries_of(tmp_path) == 300
    assert lines_of(tmp_path / "log.jsonl") == 300


@needs_fork
@pytest.mark.slow
def test_no_fork_under_load_hangs_or_harms_the_parent(tmp_path: Path) -> None:
    (line,) = run("under_load", tmp_path)
    assert line == f"queries {queries_of(tmp_path)}"


@needs_fork
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_with_routers_of_their_own_share_a_limit(method: str, tmp_path: Path) -> None:
    """As the documents have it; a worker that comes later goes on where another one stopped."""
    examples = EXAMPLE.findall((ROOT / "docs" / "operations.md").read_text())
    (example,) = (example for example in examples if "def make_router" in example)
    # Not by the day: the test may run at midnight.
    (tmp_path / "service.py").write_text(example.replace('per="day"', 'per="total"'))
    *spent, exits = run(method, tmp_path)
    assert exits == "exits 0 0 0 0 0"
    assert spent == ["spent 1000"] * 4 + ["spent 0"]


@pytest.mark.parametrize("scenario", ["no_close", "dropped"])
def test_an_exit_without_close_loses_nothing(scenario: str, tmp_path: Path) -> None:
    assert run(scenario, tmp_path) == []
    assert lines_of(tmp_path / "log.jsonl") == 1_000
    assert queries_of(tmp_path) == 1_000


def test_a_sink_that_hangs_keeps_no_process_from_its_end(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "hanging", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = (
        "DecisionLog was not finished at exit: TimeoutError('its sink has not returned for 0.1 s')"
    )
    assert (done.returncode, done.stderr.splitlines()) == (0, [told])


@pytest.mark.slow
def test_a_process_ends_well_while_a_stage_is_planned(tmp_path: Path) -> None:
    for _ in range(12):
        assert run("planning", tmp_path) == []


def test_a_callback_that_hangs_keeps_no_process_from_its_end(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "hanging_callback", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "Events was not finished at exit: TimeoutError" in done.stderr


def test_paths_are_those_of_the_beginning(tmp_path: Path) -> None:
    (names,) = run("elsewhere", tmp_path)
    assert names == "['journal', 'journal-tail', 'log.jsonl', 'other']"


@pytest.mark.parametrize("error", [SystemExit(2), asyncio.CancelledError(), KeyboardInterrupt()])
def test_no_error_of_a_callback_ends_a_thread(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[object] = []
    batches: list[object] = []

    def start_models(_: object) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise error

    def sink(batch: object) -> None:
        batches.append(batch)
        if len(batches) == 1:
            raise error

    with StageRouter(
        ["a", "b"],
        budget=0.01,
        max_deployed=2,
        stage_queries=5,
        start_models=start_models,
        decision_log=DecisionLog(sink, seconds=0.001),
    ) as router:
        router.route()
        wait_until(lambda: batches)
        for _ in range(5):
            router.route()
        wait_until(lambda: router.counters.failed_stages == 1)
        for _ in range(6):
            router.route()
        wait_until(lambda: router.deployment.stage == 2)
        wait_until(lambda: len(batches) > 1)
        assert router.counters.log_dropped == 1
    assert "stage not advanced" in caplog.text
    assert "the decision log lost 1 decisions" in caplog.text


def test_an_interrupted_flush_tells_its_caller_and_counts_what_is_lost() -> None:
    def sink(_: object) -> None:
        raise KeyboardInterrupt

    log = DecisionLog(sink, seconds=1e9)
    router = StageRouter(["a"], budget=0.01, max_deployed=1, decision_log=log)
    router.route()
    with pytest.raises(KeyboardInterrupt):
        router.flush()
    assert router.counters.log_dropped == 1
    router.close()


def test_waits_of_any_length_are_taken(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path / "log.jsonl", seconds=1e300)
    settings: dict[str, Any] = {"budget": 0.01, "max_deployed": 1, "stage_seconds": 1e9}
    with StageRouter(["a"], **settings, decision_log=log) as router:
        router.route()
        assert own_threads() == ["stageroute-log", "stageroute-stages"]
    assert lines_of(tmp_path / "log.jsonl") == 1


def test_a_thread_that_dies_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def run() -> None:
        sys.exit(1)

    start_thread("stageroute-test", run).join()
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert "stageroute-test has died" in record.getMessage()


@pytest.mark.parametrize("way", ["clock", "sink", "start_models"])
def test_a_callback_that_leads_back_to_its_router_is_collected(way: str, tmp_path: Path) -> None:
    class Owner:
        router: StageRouter

        def clock(self) -> float:
            return 1e9

        def call(self, _: object) -> None:
            pass

    owner = Owner()
    ways: dict[str, dict[str, Any]] = {
        "clock": {"clock": owner.clock},
        "sink": {"decision_log": DecisionLog(owner.call, seconds=1e9)},
        "start_models": {"start_models": owner.call, "stage_seconds": 1e9},
    }
    arguments = ways[way]
    owner.router = StageRouter(
        ["a"], budget=0.01, max_deployed=1, journal=tmp_path / "journal", **arguments
    )
    owner.router.route()
    gone = weakref.ref(owner.router)
    del owner, arguments, ways
    gc.collect()
    wait_until(lambda: gc.collect() >= 0 and gone() is None)
    wait_until(lambda: own_threads() == [])


def test_tasks_that_are_cancelled_give_their_places_back() -> None:
    limits: dict[str, Any] = {"max_concurrent": 5, "expected_cost": 0.001}
    models = [Model("a", **limits), Model("b", **limits)]
    router, most = StageRouter(models, budget=0.01, max_deployed=2, seed=1), 0

    def under_way() -> int:
        return router.state("a").under_way + router.state("b").under_way

    async def serve() -> None:
        nonlocal most
        try:
            decision = router.route()
        except RateLimitedError:
            return
        most = max(most, under_way())
        try:
            await asyncio.sleep(0.002)
            router.observe(decision, reward=1.0, cost=0.001)
        except asyncio.CancelledError:
            router.fail(decision, "cancelled")
            raise

    async def main() -> None:
        for _ in range(10):
            tasks = [asyncio.create_task(serve()) for _ in range(30)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert (most, under_way()) == (10, 0)


def test_a_finaliser_may_call_the_router_wherever_it_runs(tmp_path: Path) -> None:
    """The collector runs in the middle of other calls, and what it runs is Python code."""
    model = Model("a", max_concurrent=10**6, expected_cost=0.001)
    settings: dict[str, Any] = {"budget": 0.01, "max_deployed": 2, "seed": 1}
    log = DecisionLog(lambda _: None)
    router = StageRouter([model, "b"], **settings, journal=tmp_path / "journal", decision_log=log)

    class Handle:
        def __init__(self) -> None:
            self.decision, self.me = router.route(), self

        def __del__(self) -> None:
            router.release(self.decision)
            router.plan_stage()
            log.flush()

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            Handle()
            _ = router.counters, router.state("a"), router.limits, router.plan_stage()
            log.flush()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert router.state("a").under_way + router.state("b").under_way == 0
    router.close()


def test_a_handler_inside_a_flush_is_told_to_come_later(tmp_path: Path) -> None:
    where = JournalSettings(tmp_path / "journal", commit_seconds=5.0)
    router = StageRouter(["a"], budget=0.01, max_deployed=1, journal=where)
    journal = router._journal
    assert journal is not None
    router.route()
    with journal._writing(), pytest.raises(OSError, match="by this very thread"):
        router.flush()
    router.flush()
    assert journal.tail.pending == 0
    router.close()
