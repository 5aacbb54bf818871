"""The files of a journal: whose they are, who has them, and what others do to them in use."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from journal_ledger import PROGRAM, Ledger, open_journal, total_in
from stageroute import JournalSettings, StageRouter
from stageroute.errors import JournalError, JournalGapError, JournalLockedError, SnapshotError
from stageroute.files import ABANDONED
from stageroute.journal import snapshot_file
from stageroute.journal.recovery import tail_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files of POSIX systems")


def make(path: Path, **settings: bool) -> StageRouter:
    where = JournalSettings(path, commit_seconds=5.0, **settings)  # type: ignore[arg-type]
    return StageRouter(["a", "b"], budget=0.01, max_deployed=2, seed=1, journal=where)


def route(router: StageRouter, queries: int) -> None:
    for _ in range(queries):
        router.observe(router.route(), cost=0.001)


def kill(router: StageRouter) -> None:
    """Leave the files as ``kill -9`` would."""
    assert router._journal is not None
    router._journal.abandon()
    router.close()


def test_the_lock_outlives_a_copy_of_the_database(journal_path: Path) -> None:
    """Which frees SQLite's: its process has opened and closed the file."""
    ledger = Ledger(journal_path)
    ledger.append("a")
    journal_path.read_bytes()
    tail_of(journal_path).read_bytes()
    command = [sys.executable, str(PROGRAM), "end", str(journal_path)]
    other = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "JournalLockedError" in other.stderr
    with pytest.raises(JournalLockedError):
        Ledger(journal_path)
    ledger.append("a")
    ledger.journal.close()
    assert total_in(journal_path) == 2


def test_a_child_that_lives_on_does_not_hold_the_lock(journal_path: Path) -> None:
    ledger = Ledger(journal_path)
    reader, writer = os.pipe()
    begun, is_begun = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(is_begun, b"1")  # its copy is closed by now
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.read(begun, 1)
    os.close(begun)
    os.close(is_begun)
    try:
        ledger.journal.close()
        assert total_in(journal_path) == 0
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(child, 0)


def test_files_are_for_their_owner_alone(journal_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with make(journal_path) as router:
            route(router, 3)
            router.flush()
            router.snapshot(journal_path.with_name("snapshot"))
            files = list(journal_path.parent.iterdir())
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
    finally:
        os.umask(before)
    names = ["journal", "journal-wal", "journal-tail", "snapshot"]
    assert modes == dict.fromkeys(names, 0o600)


def test_what_killed_processes_left_is_removed(journal_path: Path) -> None:
    unfinished = journal_path.with_name("journal-tail.new")
    unfinished.touch()
    open_journal(journal_path)[0].close()
    assert not unfinished.exists()
    path = journal_path.with_name("snapshot")
    old, new = (path.with_name(f".snapshot.{k * 16}") for k in "ab")
    other = path.with_name(".snapshot.notes")
    for file in (old, new, other):
        file.touch()
    long_ago = time.time() - ABANDONED - 1.0
    os.utime(old, (long_ago, long_ago))
    os.utime(other, (long_ago, long_ago))
    snapshot_file.write(path, {}, b"state")
    assert [old.exists(), new.exists(), other.exists()] == [False, True, True]


@pytest.mark.parametrize("name", ["journal", "journal-wal", "journal-tail"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_files_that_are_deleted_in_use_are_told(
    journal_path: Path, name: str, is_replaced: bool
) -> None:
    ledger = Ledger(journal_path)
    ledger.append("a")
    ledger.journal.flush()
    path = journal_path.with_name(name)
    data = path.read_bytes()
    path.rename(path.with_name("away"))
    if is_replaced:
        path.write_bytes(data)
    ledger.append("a")
    with pytest.raises(JournalError, match=rf"{name} was deleted or replaced while it is in use"):
        ledger.journal.flush()
    with pytest.raises(JournalError, match="was deleted or replaced"):
        ledger.journal.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the process ends")
def test_a_tail_shortened_in_use_refuses_calls(journal_path: Path) -> None:
    router = make(journal_path)
    route(router, 5)
    os.truncate(tail_of(journal_path), 4096)
    for _ in range(2):
        with pytest.raises(JournalError, match="the journal's tail was shortened while"):
            router.route()
    assert router.counters.queries == 5
    with pytest.raises(SnapshotError, match="this tail has 4096 bytes"):
        router.flush()
    with pytest.raises(SnapshotError, match="this tail has 4096 bytes"):
        router.close()
    with pytest.raises(SnapshotError, match="this tail has 4096 bytes"):
        make(journal_path)


def test_a_router_says_what_became_of_its_calls(journal_path: Path) -> None:
    with make(journal_path) as router:
        assert router.recovered is not None
        assert (router.recovered.repeated, router.recovered.lost) == (0, 0)
        assert StageRouter(["a"], budget=0.01, max_deployed=1).recovered is None
        route(router, 10)
        kill(router)
    router = make(journal_path)
    assert router.recovered is not None
    assert (router.recovered.repeated, router.recovered.lost, router.recovered.gap) == (20, 0, "")
    route(router, 10)
    start = 4096 + router._journal.tail.head()[1]  # type: ignore[union-attr]
    route(router, 5)
    kill(router)
    data = bytearray(tail_of(journal_path).read_bytes())
    data[start + 20] ^= 1
    tail_of(journal_path).write_bytes(data)
    with pytest.raises(JournalGapError, match=r"record 41 is damaged or missing: at least 10 ack"):
        make(journal_path)
    router = make(journal_path, allow_loss=True)
    assert router.recovered is not None
    assert (router.recovered.lost, router.recovered.cut) == (10, 9)
    assert router.recovered.gap == "record 41 is damaged or missing"
    assert router.counters.queries == 20
    kill(router)
    # From then on it is whole again.
    with make(journal_path) as router:
        assert router.counters.queries == 20


@pytest.mark.parametrize("queries", [0, 20])
def test_records_without_their_snapshot_are_no_empty_router(
    journal_path: Path, queries: int
) -> None:
    router = make(journal_path)
    route(router, queries)
    assert router._journal is not None
    router.flush()
    router._journal._store._execute("DELETE FROM snapshot")
    kill(router)
    if queries == 0:
        with make(journal_path) as router:
            assert router.counters.queries == 0
        return
    with pytest.raises(JournalGapError, match="the snapshot that its records start from is miss"):
        make(journal_path)
    with make(journal_path, allow_loss=True) as router:
        assert router.recovered is not None
        assert (router.recovered.lost, router.recovered.repeated) == (40, 0)
        route(router, 3)
        kill(router)
    with make(journal_path) as router:
        assert router.counters.queries == 3


def test_the_first_snapshot_is_on_the_disk_before_anybody_has_the_router(
    journal_path: Path,
) -> None:
    """In the database: the write-ahead log may be lost as a whole."""
    router = make(journal_path)
    route(router, 20)
    kill(router)
    journal_path.with_name("journal-wal").unlink(missing_ok=True)
    with make(journal_path) as router:
        assert router.counters.queries == 20


@pytest.mark.parametrize(
    ("durability", "expected"),
    [
        ("process", ["database", "tail", "closed"]),
        ("disk", ["tail", "database", "tail", "closed"]),
    ],
)
def test_the_tail_is_on_the_disk_before_its_database(
    durability: str, expected: list[str], journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is closed, and always in disk mode.

    Else a power cut could leave a tail that is older than what was committed.
    """
    ledger = Ledger(journal_path, durability=durability)
    order: list[str] = []
    journal = ledger.journal
    fsync, add_batch, close = os.fsync, journal._store.add_batch, journal._store.close

    def synchronise(number: int) -> None:
        order.append("tail")
        fsync(number)

    def store(records: bytes, end: tuple[int, int]) -> None:
        order.append("database")
        add_batch(records, end)

    def close_all() -> None:
        order.append("closed")
        close()

    monkeypatch.setattr(os, "fsync", synchronise)
    monkeypatch.setattr(journal._store, "add_batch", store)
    monkeypatch.setattr(journal._store, "close", close_all)
    ledger.append("a")
    journal.close()
    assert order == expected
    assert total_in(journal_path) == 1
