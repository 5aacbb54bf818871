"""The decision log: every decision once and in order, or dropped and counted."""

import json
import math
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import router_world
from in_threads import PATIENCE, own_threads, run_threads
from stageroute import (
    Decision,
    DecisionLog,
    JournalSettings,
    LoggedDecision,
    Model,
    StageRouter,
)
from stageroute.decision_log import missing
from stageroute.decision_log.batch import DecisionBatch
from stageroute.decision_log.sinks import JsonLinesSink, ParquetSink, Sink
from stageroute.errors import DatasetError, RefusedError
from stageroute.journal.journal import Journal
from stageroute.off_policy.files import _read_rows, read_log

make = partial(router_world.make, models=[Model(name, 0.6) for name in "abcd"], max_deployed=3)


class Memory:
    """A sink that remembers what it hands to another sink, if there is one."""

    def __init__(self, sink: Sink = len) -> None:
        self.sink = sink
        self.rows: list[LoggedDecision] = []
        self.sizes: list[int] = []

    def __call__(self, batch: DecisionBatch) -> None:
        self.sizes.append(len(batch))
        self.rows.extend(batch)
        self.sink(batch)

    @property
    def ids(self) -> list[int]:
        return [row.id for row in self.rows]


def drive(router: StageRouter, queries: int) -> list[Decision]:
    """Route in all ways: plainly, over a part of the live set, over a stage's end."""
    decisions = []
    for k in range(queries):
        arguments: dict[str, Any] = {"allowed": ["a", "b", "c"]} if k % 7 == 0 else {}
        try:
            decision = router.route(**arguments)
        except RefusedError:
            continue
        decisions.append(decision)
        router.observe(decision, reward=float(k % 3 == 0), cost=0.0002 * (1 + k % 10))
        if k % 100 == 99:
            router.advance_stage()
    return decisions


def check_rows(rows: Sequence[LoggedDecision], decisions: Sequence[Decision]) -> None:
    """Compare what was logged with what was returned."""
    assert [row.id for row in rows] == [decision.id for decision in decisions]
    for row, decision in zip(rows, decisions, strict=True):
        for name in ("model", "probability", "stage", "budget_price", "reasons"):
            assert getattr(row, name) == getattr(decision, name), name
        assert row.probabilities[row.models.index(row.model)] == row.probability
        assert sum(row.probabilities) == pytest.approx(1.0, abs=1e-12)
        assert len(row.models) == len(row.probabilities) == 3
        assert len(row.reward_ucb) == len(row.cost_lcb) == 3
        assert all(0.0 <= value <= 1.0 for value in row.reward_ucb)
        assert all(value >= 0.0 for value in row.cost_lcb)
        assert row.paced_budget >= 0.0
        if "excluded" in row.reasons and "d" in row.models:
            assert row.probabilities[row.models.index("d")] == 0.0


def test_every_decision_once_in_order_and_with_its_grounds() -> None:
    memory = Memory()
    now = 0.0
    log = DecisionLog(memory, seconds=0.001)
    decisions = []
    with make(decision_log=log, clock=lambda: now) as router:
        for _ in range(6):
            now += 10.0
            decisions += drive(router, 500)
    check_rows(memory.rows, decisions)
    times = [row.time for row in memory.rows]
    assert (sorted(times), set(times)) == (times, {10.0, 20.0, 30.0, 40.0, 50.0, 60.0})
    counters = router.counters
    assert counters.log_dropped == 0
    # A restricted decision has a status too; the counters have it as restricted alone.
    plain = [row for row in memory.rows if not set(row.reasons) - {"probe"}]
    assert len(memory.rows) - len(plain) == counters.restricted > 100
    for status in ("optimal", "throttled", "budget_infeasible", "cap_infeasible"):
        count = sum(row.status == status for row in plain)
        assert count == getattr(counters, status), status
    assert counters.optimal > 0
    assert counters.throttled + counters.budget_infeasible > 0
    for row in memory.rows:
        is_unmet = row.status in {"throttled", "budget_infeasible"}
        assert row.status == "cap_infeasible" or math.isinf(row.budget_price) == is_unmet


@pytest.mark.parametrize("name", ["log.jsonl", "log"])
def test_files_hold_what_was_logged(tmp_path: Path, name: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / name
    memory = Memory(JsonLinesSink(path) if path.suffix else ParquetSink(path))
    with make(decision_log=DecisionLog(memory, seconds=60.0)) as router:
        # The first batch has no reasons at all, and the last nothing else.
        decisions = [router.route() for _ in range(5)]
        router.flush()
        decisions += drive(router, 300)
        router.flush()
        decisions += [router.route(allowed=["a", "b", "c"])]
        router.flush()
        router.flush()
    if path.suffix:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        names = [f"{first:015d}.parquet" for first in (0, 5, 305)]
        assert sorted(file.name for file in path.iterdir()) == names
        rows = parquet.read_table(path).to_pylist()
    assert [row["id"] for row in rows] == [decision.id for decision in decisions]
    for row, logged in zip(rows, memory.rows, strict=True):
        found = {name: tuple(x) if isinstance(x, list) else x for name, x in row.items()}
        if path.suffix and math.isinf(logged.budget_price):
            # JSON has no infinity.
            assert found.pop("budget_price") is None
            found["budget_price"] = math.inf
        assert found == {name: getattr(logged, name) for name in LoggedDecision.__slots__}
    assert any(math.isinf(logged.budget_price) for logged in memory.rows)


def test_half_a_line_ends_before_the_next_begins(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for _ in range(3):
        with make(decision_log=DecisionLog(path)) as router:
            drive(router, 10)
        # What a kill, or a full disk, may leave.
        whole = path.read_bytes()
        path.write_bytes(whole + whole[:50])
    lines = path.read_text().splitlines()
    ids = [json.loads(line)["id"] for line in lines if line.endswith("}")]
    assert (ids, len(lines) - len(ids)) == ([*range(10)] * 3, 3)


def test_another_router_adds_its_files_beside_those_of_the_same_ids(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for _ in range(3):
        with make(decision_log=DecisionLog(tmp_path / "log")) as router:
            router.route()
    names = {file.name for file in (tmp_path / "log").iterdir()}
    assert names == {f"{0:015d}{suffix}.parquet" for suffix in ("", "-1", "-2")}
    assert parquet.read_table(tmp_path / "log").num_rows == 3


def test_a_parquet_file_has_its_name_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    log = DecisionLog(tmp_path / "log", seconds=60.0)
    router = make(decision_log=log)
    router.route()
    write = parquet.write_table

    def die(table: Any, where: Any) -> None:
        write(table, where)
        Path(where).write_bytes(Path(where).read_bytes()[:100])
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(parquet, "write_table", die)
        router.flush()
    assert log.dropped == 1
    router.route()
    router.close()
    assert parquet.read_table(tmp_path / "log").column("id").to_pylist() == [1]


def test_a_slow_sink_costs_decisions_that_are_counted_and_bounded_memory() -> None:
    memory = Memory()
    entered, leave = threading.Event(), threading.Event()

    def slow(batch: DecisionBatch) -> None:
        entered.set()
        assert leave.wait(PATIENCE)
        memory(batch)

    log = DecisionLog(slow, capacity=100, seconds=0.001)
    router = make(decision_log=log)
    router.route()
    # The thread writes without being asked.
    assert entered.wait(PATIENCE)
    for _ in range(5000):
        router.route()
    leave.set()
    router.close()
    # The first batch, and the oldest that there was room for after it.
    assert memory.ids == list(range(memory.sizes[0] + 100))
    assert max(memory.sizes) <= 100
    assert router.counters.log_dropped == log.dropped == 5001 - len(memory.ids)


def test_many_live_models_have_room_too() -> None:
    memory = Memory()
    models = [Model(f"m{k}") for k in range(40)]
    log = DecisionLog(memory, capacity=64, seconds=60.0)
    with make(models=models, max_deployed=40, decision_log=log) as router:
        for _ in range(25):
            router.route()
    assert memory.ids == list(range(25))
    assert router.counters.log_dropped == 0
    assert {len(row.models) for row in memory.rows} == {40}


def test_a_sink_that_raises_costs_its_batch_alone(caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory()

    def sometimes(batch: DecisionBatch) -> None:
        if int(batch.columns["id"][0]) % 20 == 10:
            raise OSError("disk full")
        memory(batch)

    log = DecisionLog(sometimes, seconds=60.0)
    with make(decision_log=log) as router:
        for k in range(100):
            router.route()
            if k % 10 == 9:
                router.flush()
    assert memory.ids == [k for k in range(100) if k // 10 % 2 == 0]
    assert log.dropped == router.counters.log_dropped == 50
    assert caplog.text.count("the decision log lost 10 decisions: OSError('disk full')") == 5


def test_flush_waits_and_close_is_final() -> None:
    memory = Memory()
    router = make(decision_log=DecisionLog(memory, seconds=60.0))
    router.route()
    router.flush()
    assert memory.ids == [0]
    router.route()
    router.close()
    assert memory.ids == [0, 1]
    router.close()
    router.flush()
    assert memory.ids == [0, 1]
    assert "stageroute-log" not in own_threads()


def test_many_threads_and_flushes_at_once() -> None:
    memory = Memory()

    def work(_: int) -> None:
        for k in range(2000):
            router.route()
            if k % 50 == 0:
                router.flush()

    with make(decision_log=DecisionLog(memory, seconds=0.001)) as router:
        run_threads(4, work)
    assert memory.ids == list(range(8000))


@pytest.mark.parametrize("clock", [None, lambda: 1e9], ids=["own clock", "clock that stands"])
def test_after_a_restart_nothing_is_logged_twice(journal_path: Path, clock: Any) -> None:
    memory = Memory()
    for _ in range(4):
        log = DecisionLog(memory, seconds=0.01)
        with make(journal=journal_path, decision_log=log, clock=clock) as router:
            drive(router, 50)
        assert log.dropped == 0
    assert memory.ids == list(range(200))


def test_a_router_that_had_no_log_can_have_one(tmp_path: Path) -> None:
    from_journal = partial(make, journal=tmp_path / "journal")
    with from_journal() as router:
        router.route()
        router.snapshot(tmp_path / "snapshot")
    for again in (from_journal, partial(StageRouter.restore, tmp_path / "snapshot")):
        memory = Memory()
        with again(decision_log=DecisionLog(memory)) as router:
            router.route()
        assert memory.ids == [1]


def test_a_sink_may_flush_and_is_not_called_within_itself() -> None:
    """Its flush returns at once: what it would have to wait for is itself."""
    seen: list[int] = []
    depths: list[int] = []
    depth = 0

    def sink(batch: DecisionBatch) -> None:
        nonlocal depth
        depth += 1
        depths.append(depth)
        if len(depths) < 5:
            router.route()
        router.flush()
        seen.extend(batch.columns["id"].tolist())
        depth -= 1

    with make(decision_log=DecisionLog(sink, seconds=1e6)) as router:
        for _ in range(50):
            router.route()
        for _ in range(5):
            router.flush()
    assert depths == [1, 1, 1, 1, 1]
    assert seen == list(range(54))
    assert router.counters.log_dropped == 0


def killed(router: StageRouter, log: DecisionLog) -> None:
    """Leave the files as a kill would that comes before the log's next batch."""
    assert router._journal is not None
    router._journal.abandon()
    log._router = router._decision_log = None
    log.close()
    router.close()


@pytest.mark.parametrize("name", ["log.jsonl", "log"])
def test_decisions_that_a_kill_has_caught_are_logged_at_the_next_start(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once each, whether none, some or all of them had reached the log; small buffers as well."""
    if name == "log":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(missing, "RECORDS_BETWEEN", 8)
    where = JournalSettings(tmp_path / "journal", commit_seconds=5.0)
    path, decisions = tmp_path / name, []
    for flushed in (0, 70, 200):
        log = DecisionLog(path, seconds=60.0, capacity=256)
        router = make(decision_log=log, journal=where)
        decisions += drive(router, flushed)
        router.flush()
        decisions += drive(router, 30)
        killed(router, log)
    with make(decision_log=DecisionLog(path, seconds=60.0), journal=where):
        pass
    assert read_log(path).data.arm.size == len(decisions)
    rows, _ = _read_rows(path)
    assert [row["id"] for row in rows] == [decision.id for decision in decisions]
    for row, decision in zip(rows, decisions, strict=True):
        assert (row["model"], row["probability"]) == (decision.model, decision.probability)
    marks = [bool(row.get("is_repeated")) for row in rows]
    assert marks == [is_late for n in (0, 70, 200) for is_late in [False] * n + [True] * 30]


def test_a_snapshot_waits_for_the_log(tmp_path: Path) -> None:
    """What it stands for is not repeated: a kill right after it would keep it from the log."""
    path = tmp_path / "log.jsonl"
    log = DecisionLog(path, seconds=60.0)
    router = make(decision_log=log, journal=tmp_path / "journal")
    decisions = drive(router, 50)
    assert router._journal is not None
    router._journal.compact(router._take_snapshot)
    killed(router, log)
    assert len(path.read_text().splitlines()) == len(decisions)


def test_a_start_that_compacts_at_once_has_the_log_catch_up_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a kill right after it would keep from the log what the start was to write again."""
    path, journal = tmp_path / "log.jsonl", tmp_path / "journal"
    log = DecisionLog(path, seconds=60.0)
    router = make(decision_log=log, journal=journal)
    decisions = drive(router, 50)
    killed(router, log)
    assert not path.read_text()
    log = DecisionLog(path, seconds=60.0)
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "start", Journal.compact)
        router = make(decision_log=log, journal=journal)
    killed(router, log)
    with make(decision_log=DecisionLog(path, seconds=60.0), journal=journal):
        pass
    assert len(path.read_text().splitlines()) == len(decisions)


def test_a_decision_that_is_logged_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with make(decision_log=DecisionLog(path)) as router:
        drive(router, 20)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines + lines[12:]))
    assert len(read_log(path).data) == 20
    path.write_text("\n".join([*lines, lines[3].replace('"stage":1', '"stage":2')]))
    with pytest.raises(DatasetError, match="decision 3 is there twice"):
        read_log(path)
