"""The journal: records in, records out, and what goes on behind them."""

import gc
import random
import time
import weakref
from pathlib import Path

import pytest

from in_threads import wait_until
from journal_ledger import SMALL, Ledger, die, reopened, total_in, without_compaction
from stageroute._core import Tail
from stageroute.errors import InvalidInputError, JournalError, SnapshotCorruptError
from stageroute.journal.store import Position


@pytest.mark.parametrize("seed", range(4))
def test_any_history(journal_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    ledger = Ledger(journal_path, **SMALL)
    total = 0
    for _ in range(600):
        step = generator.choices(
            ["append", "flush", "snapshot", "overtaken", "die", "close"], [60, 10, 6, 6, 4, 2]
        )[0]
        journal = ledger.journal
        if step == "append":
            for _ in range(generator.randrange(20)):
                ledger.append(generator.choice("ab"))
                total += 1
            if journal.tail.pending > journal.tail.capacity - 2000:
                journal.flush()
        elif step == "flush":
            journal.flush()
        elif step == "snapshot":
            position, body = ledger.take_snapshot()
            journal._store.set_snapshot(body, position)
        elif step == "overtaken":
            # Records become a batch after the snapshot was taken and before it is stored.
            position, body = ledger.take_snapshot()
            ledger.append("c")
            total += 1
            journal.flush()
            journal._store.set_snapshot(body, position)
        else:
            die(journal) if step == "die" else journal.close()
            ledger = Ledger(journal_path, **SMALL)
            assert ledger.total == total
    ledger.journal.close()
    files = sorted(file.name for file in journal_path.parent.iterdir())
    assert files == ["journal", "journal-tail"]


@pytest.mark.parametrize("durability", ["process", "disk"])
def test_the_background_thread_commits(journal_path: Path, durability: str) -> None:
    ledger = Ledger(journal_path, durability=durability, commit_seconds=0.001)
    store = ledger.journal._store
    assert store._pragma("synchronous") == (2 if durability == "disk" else 1)
    assert store._pragma("fullfsync") == (1 if durability == "disk" else 0)
    ledger.start()
    for _ in range(100):
        ledger.append("a")
    wait_until(lambda: ledger.journal.tail.pending == 0)
    assert store.committed == ledger.journal.tail.head()
    ledger.journal.close()
    assert total_in(journal_path) == 100


def test_a_ring_half_full_is_committed_early(journal_path: Path) -> None:
    ledger = Ledger(journal_path, **SMALL | {"commit_seconds": 5.0, "compact_bytes": 1 << 30})
    ledger.start()
    started = time.monotonic()
    for _ in range(2000):
        ledger.append_patiently("a")
    assert time.monotonic() - started < 4.0
    ledger.journal.close()
    assert total_in(journal_path) == 2000


@pytest.mark.parametrize("is_first", [True, False])
def test_a_snapshot_takes_the_place_of_records_that_are_many(
    journal_path: Path, is_first: bool
) -> None:
    """More than was asked for, or than there are in the last one: opening it is then faster."""
    ledger = Ledger(journal_path, compact_bytes=4000 if is_first else 1 << 28)
    journal, store = ledger.journal, ledger.journal._store
    if not is_first:
        journal.compact(ledger.take_snapshot)
    limit = store.snapshot_bytes or 4000
    while (size := store.batch_bytes + journal.tail.pending) <= limit:
        journal._compact_if_due(ledger.take_snapshot)
        assert store.batch_bytes + journal.tail.pending == size, "compacted too early"
        if is_first:
            journal.flush()
        ledger.append("a")
    journal._compact_if_due(ledger.take_snapshot)
    assert (store.batch_bytes, journal.tail.pending) == (0, 0)
    assert store.committed == journal.tail.head()
    die(journal)
    again = reopened(journal_path)
    assert again.total == ledger.total
    assert again.recovered.batches == (), "the snapshot holds them all"


def test_the_files_stay_small_over_many_compactions(journal_path: Path) -> None:
    ledger = Ledger(journal_path, tail_bytes=1 << 16)
    journal, sizes = ledger.journal, []
    for _ in range(300):
        for _ in range(500):
            ledger.append("a")
        journal.flush()
        position, body = ledger.take_snapshot()
        journal.compact(lambda: (position, body + b" " * 10_000))  # noqa: B023  # called here
        files = journal_path.parent.iterdir()
        sizes.append(sum(file.stat().st_size for file in files))
    written = journal.tail.head()[1]
    print(f"{written} bytes of records, at most {max(sizes)} bytes of files")
    assert written > 4_000_000
    # The log of 1000 pages, the database, the tail.
    assert max(sizes) < 5_000_000
    journal.close()
    assert journal_path.stat().st_size < 500_000
    assert total_in(journal_path) == ledger.total


class Defective(Ledger):
    """A ledger that can be made to take no snapshots."""

    is_broken = False

    def take_snapshot(self) -> tuple[Position, bytes]:
        if self.is_broken:
            raise ZeroDivisionError("a defect")
        return super().take_snapshot()


def test_a_snapshot_that_fails_does_not_stop_commits(
    journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Defective(journal_path, **SMALL)
    ledger.is_broken = True
    ledger.start()
    for _ in range(2000):
        ledger.append_patiently("a")
    wait_until(lambda: ledger.journal.tail.pending == 0)
    assert isinstance(ledger.journal.last_error, ZeroDivisionError)
    assert caplog.text.count("will keep trying: ZeroDivisionError: a defect") == 1
    ledger.is_broken = False
    wait_until(lambda: ledger.journal.last_error is None)
    ledger.journal.close()
    again = reopened(journal_path)
    assert again.total == 2000
    assert again.recovered.snapshot is not None


def test_a_forgotten_owner_is_collected_and_its_journal_closed(journal_path: Path) -> None:
    """Even where it could not be committed."""
    ledger = Ledger(journal_path, commit_seconds=0.001)
    ledger.start()
    journal = ledger.journal
    without_compaction(journal)
    journal._store._execute("PRAGMA max_page_count = 1")
    for _ in range(1000):
        ledger.append("b")
    wait_until(lambda: journal.last_error)
    reference, total, thread = weakref.ref(ledger), ledger.total, journal._thread
    assert thread is not None
    del ledger
    gc.collect()
    wait_until(lambda: reference() is None)
    thread.join(10)
    assert not thread.is_alive()
    with pytest.raises(JournalError, match="the journal is closed"):
        journal.tail.append(b"late")
    assert total_in(journal_path) == total


def test_the_tail_checks_its_arguments(tmp_path: Path) -> None:
    tail = Tail.create(tmp_path / "tail", 4096, b"i" * 16, (1, 0))
    with pytest.raises(InvalidInputError, match=r"a record of 5000 bytes: .* at most 4064"):
        tail.append(b"x" * 5000)
    with pytest.raises(InvalidInputError, match=r"position \(seq 3, offset 8\): must be between"):
        tail.release((3, 8))
    for seconds in (-1.0, float("nan")):
        with pytest.raises(InvalidInputError, match="seconds = "):
            tail.wait(seconds)
    with pytest.raises(JournalError, match="no/tail: No such file"):
        Tail.create(tmp_path / "no" / "tail", 4096, b"i" * 16, (1, 0))
    with pytest.raises(SnapshotCorruptError, match="byte 0 starts none"):
        Tail.split(b"\xff\xff\xff\xff")
    assert tail.wait(0.0) is False
    tail.wake()
    assert tail.wait(10.0) is True
