"""A toy owner of a journal that notices any record missing, doubled or out of order.

Run as a program, it is another process with a journal:
``journal_ledger.py {fill | end | open} PATH WRITER``.
"""

import json
import os
import resource
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from in_threads import wait_until
from killed_processes import report
from stageroute import JournalSettings
from stageroute.errors import JournalError, JournalFullError, JournalLockedError
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
        if self.recovered.snapshot is not None:
            self.total, self.counts = json.loads(self.recovered.snapshot)
        assert self.recovered.first_seq == self.total + 1
        for record in self.recovered.records():
            self.apply(record)

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
    """Open a ledger that nobody has open, and close it again."""
    ledger = Ledger(path)
    ledger.journal.close()
    return ledger


def total_in(path: Path) -> int:
    """Count the records of a ledger that nobody has open."""
    return reopened(path).total


def open_journal(
    path: Path, fingerprint: str = "ours", **settings: Any
) -> tuple[Journal, Recovered]:
    """Open a journal without an owner."""
    return Journal.open(JournalSettings(path, **({"tail_bytes": 1 << 12} | settings)), fingerprint)


def records_in(path: Path) -> list[bytes]:
    """Return the records of a journal that nobody has open, all of them."""
    journal, recovered = open_journal(path)
    journal.close()
    return list(recovered.records())


def die(journal: Journal) -> None:
    """Leave the files as ``kill -9`` would."""
    journal._store.abandon()
    journal.tail.close()


def append_for_ever(ledger: Ledger, writer: str) -> None:
    """Append, and report each record once it is acknowledged."""
    while True:
        number, seq = ledger.append_patiently(writer)
        report(f"{writer} {number} {seq}")


def append_until_killed(path: Path, name: str) -> None:
    """Report what was found, and append from two threads."""
    ledger = Ledger(path, **SMALL)
    report(json.dumps([ledger.total, ledger.counts]))
    ledger.start()
    for writer in (f"{name}a", f"{name}b"):
        threading.Thread(target=append_for_ever, args=(ledger, writer)).start()


def fill(path: Path, name: str) -> None:
    """Go on until the disk and then the tail are full; go on when there is room again; die."""
    ledger = Ledger(path, **SMALL | {"compact_bytes": 1 << 20})
    ledger.append(name)
    ledger.journal.flush()
    size = Path(f"{path}-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, resource.RLIM_INFINITY))
    ledger.start()
    try:
        while True:
            ledger.append(name)
    except JournalFullError as error:
        report(f"full after {ledger.total}: {error}")
    try:
        ledger.journal.flush()
    except JournalError as error:
        report(f"flush: {error}")
    wait_until(lambda: ledger.journal.last_error)
    report(f"last error: {ledger.journal.last_error}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ledger.journal.flush()
    wait_until(lambda: ledger.journal.last_error is None)
    for _ in range(1000):
        ledger.append_patiently(name)
    report(f"{ledger.total}")
    os.kill(os.getpid(), 9)


def end(path: Path, name: str) -> None:
    """Append for a while and just end."""
    ledger = Ledger(path, **SMALL)
    ledger.start()
    for _ in range(200):
        ledger.append(name)


def open_only(path: Path, _: str) -> None:
    """Report why the journal cannot be opened, if it cannot."""
    try:
        open_journal(path)
    except JournalLockedError as error:
        report(f"{error}")


if __name__ == "__main__":
    program = {"fill": fill, "end": end, "open": open_only}[sys.argv[1]]
    program(Path(sys.argv[2]), sys.argv[3])
