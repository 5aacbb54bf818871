"""A toy owner of a journal that notices any record missing, doubled or out of order.

Run as a program, it is another process with a journal: ``journal_ledger.py {fill | end} PATH``.
"""

import json
import os
import resource
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from in_threads import wait_until
from stageroute import JournalSettings
from stageroute.errors import JournalError, JournalFullError
from stageroute.journal.journal import Journal
from stageroute.journal.recovery import Recovered
from stageroute.journal.store import Position

PROGRAM = Path(__file__)
HEAD = struct.Struct("<QIB")
"""Number of the record, the writer's number of it, length of the writer's name."""

SMALL = {"tail_bytes": 1 << 14, "compact_bytes": 1 << 13, "commit_seconds": 0.002}


class Ledger:
    """Counts records, in all and by writer; each says which number it must be."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.counts: dict[str, int] = {}
        self.total = 0
        self.lock = threading.Lock()
        wanted = JournalSettings(path, **settings)  # type: ignore[arg-type]
        self.journal, self.recovered = Journal.open(wanted, "ledger")
        self.journal.begin()
        if self.recovered.snapshot is not None:
            self.total, self.counts = json.loads(self.recovered.snapshot)
        assert self.recovered.first_seq == self.total + 1
        for record in self.recovered.records():
            self.apply(record)
        if not self.journal.has_snapshot:
            self.journal.compact(self.take_snapshot)

    def start(self) -> None:
        """Commit in the background."""
        self.journal.start(self.take_snapshot)

    def append(self, writer: str) -> tuple[int, int]:
        """Add a record of a writer; return the writer's number for it, and the journal's."""
        with self.lock:
            number = self.counts.get(writer, 0) + 1
            filler = bytes(self.total % 40)
            name = writer.encode()
            record = HEAD.pack(self.total + 1, number, len(name)) + name + filler
            seq = self.journal.tail.append(record)
            self.apply(record)
        return number, seq

    def append_patiently(self, writer: str) -> tuple[int, int]:
        """Do the same as soon as there is room."""
        while True:
            try:
                return self.append(writer)
            except JournalFullError:
                time.sleep(0.001)

    def apply(self, record: bytes) -> None:
        """Count a record, which must be the next one."""
        total, number, length = HEAD.unpack_from(record)
        name = record[HEAD.size : HEAD.size + length].decode()
        assert total == self.total + 1, f"record {total} after {self.total}"
        assert number == self.counts.get(name, 0) + 1, f"{name} {number} after {self.counts}"
        self.total, self.counts[name] = total, number

    def take_snapshot(self) -> tuple[Position, bytes]:
        """Return all counts."""
        with self.lock:
            return self.journal.tail.head(), json.dumps([self.total, self.counts]).encode()


def reopened(path: Path) -> Ledger:
    """Open a ledger that is not open, and close it again."""
    ledger = Ledger(path)
    ledger.journal.close()
    return ledger


def total_in(path: Path) -> int:
    """Count the records of a ledger that is not open."""
    return reopened(path).total


def open_journal(
    path: Path, fingerprint: str = "ours", **settings: Any
) -> tuple[Journal, Recovered]:
    """Open a journal without an owner; a new one begins with an empty state."""
    wanted = JournalSettings(path, **({"tail_bytes": 1 << 12} | settings))
    journal, recovered = Journal.open(wanted, [fingerprint])
    journal.begin()
    if not journal.has_snapshot:
        journal.compact(lambda: (journal.tail.head(), b""))
    return journal, recovered


def records_in(path: Path) -> list[bytes]:
    """Return the records of a journal that is not open, all of them."""
    journal, recovered = open_journal(path)
    journal.close()
    return list(recovered.records())


def die(journal: Journal) -> None:
    """Leave the files as ``kill -9`` would."""
    journal.abandon()


def without_compaction(journal: Journal) -> None:
    """Have its snapshot seem so large that it is not worth while to write another one."""
    journal._store.snapshot_bytes = 1 << 40


def fill(path: Path) -> None:
    """Go on until the disk and then the tail are full; go on when there is room again; die."""
    ledger = Ledger(path, **SMALL | {"compact_bytes": 1 << 20})
    without_compaction(ledger.journal)
    ledger.append("a")
    ledger.journal.flush()
    size = Path(f"{path}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, resource.RLIM_INFINITY))
    ledger.start()
    with suppress(JournalFullError):
        while True:
            ledger.append("a")
    with pytest.raises(JournalError, match="disk I/O error"):
        ledger.journal.flush()
    wait_until(lambda: "disk I/O error" in str(ledger.journal.last_error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ledger.journal.flush()
    wait_until(lambda: ledger.journal.last_error is None)
    for _ in range(1000):
        ledger.append_patiently("a")
    print(ledger.total, flush=True)
    os.kill(os.getpid(), 9)


def end(path: Path) -> None:
    """Append for a while and just end."""
    ledger = Ledger(path, **SMALL)
    ledger.start()
    for _ in range(200):
        ledger.append("a")


if __name__ == "__main__":
    {"fill": fill, "end": end}[sys.argv[1]](Path(sys.argv[2]))
