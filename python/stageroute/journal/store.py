"""The journal's database: one snapshot, the batches of records behind it, and how far they go.

Rows carry a SHA-256 of all their fields, and numbers of records follow each other without a gap,
so that damage which SQLite does not see is seen here.
"""

import contextlib
import hashlib
import os
import secrets
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from stageroute._core import __version__, keep_for_ever
from stageroute.errors import (
    JournalError,
    JournalLockedError,
    SnapshotCorruptError,
    SnapshotVersionError,
)
from stageroute.journal.snapshot_file import require_fingerprint

Position: TypeAlias = tuple[int, int]
"""Number of the record that begins there, from 1 on, and bytes that all before it took."""

FORMAT: Final = 1
APPLICATION_ID: Final = 0x53524A4C
"""What tells the file from other databases, in SQLite's header: SRJL."""

ROW_BYTES: Final = 128
"""What a batch takes beside its records, about."""

WAL_BYTES: Final = 4 << 20
"""The write-ahead log is cut to this size once its pages are in the database."""

SCHEMA: Final = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
    """CREATE TABLE journal (
        id INTEGER PRIMARY KEY, fingerprint TEXT, identity BLOB, has_tail INTEGER,
        next_seq INTEGER, next_offset INTEGER, sha256 BLOB
    )""",
    "CREATE TABLE snapshot (id INTEGER PRIMARY KEY, next_seq INTEGER, body BLOB, sha256 BLOB)",
    """CREATE TABLE batches (
        first_seq INTEGER PRIMARY KEY, next_seq INTEGER, body BLOB, sha256 BLOB
    )""",
)

DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
"""SQLite's codes for a file that is not what it was; the last one stands for a missing table."""


_connections: "weakref.WeakSet[JournalStore]" = weakref.WeakSet()


class JournalStore:
    """An open database, locked for as long; one thread at a time, and `load` first of all.

    With `may_create`, an empty or missing file is a new journal, and not one that was lost.
    """

    def __init__(
        self, path: Path, fingerprints: Sequence[str], durability: str, *, may_create: bool
    ) -> None:
        self.path = path
        self._fingerprints = fingerprints
        self.identity = b""  # shared with the tail
        self.has_tail = False
        self._committed: Position | None = (1, 0)
        self.batch_bytes = 0
        self.snapshot_bytes: int | None = None
        is_on_disk = durability == "disk"
        with contextlib.suppress(OSError):
            # For its owner alone; the write-ahead log is as the database is.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        with _errors_of(path):
            self._connection = sqlite3.connect(
                path, timeout=0, isolation_level=None, check_same_thread=False
            )
            _connections.add(self)
            try:
                self._execute("PRAGMA locking_mode = EXCLUSIVE")
                self._execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
                self._execute(f"PRAGMA synchronous = {'FULL' if is_on_disk else 'NORMAL'}")
                # Where fsync leaves data in the drive's cache (macOS), ask for more.
                self._execute(f"PRAGMA fullfsync = {int(is_on_disk)}")
                (tables,) = self._execute("SELECT count(*) FROM sqlite_master").fetchone()
                if tables == 0 and self._pragma("application_id") == 0:
                    what = "is empty, but its tail is not: put it back, or move the tail away"
                    self._require(may_create, f"{what} to start anew")
                    self._create()
            except BaseException:
                self.abandon()
                raise

    @property
    def committed(self) -> Position:
        """Where the first record begins that is not in here.

        The database is asked, where an interrupt may have come before that was noted.
        """
        if self._committed is None:
            with _errors_of(self.path):
                select = "SELECT next_seq, next_offset FROM journal"
                self._committed = self._execute(select).fetchone()
        return self._committed

    def load(self) -> tuple[bytes | None, int, tuple[bytes, ...]]:
        """Read what `Recovered` holds but for the tail; refuse what is not as it was written."""
        with _errors_of(self.path):
            return self._load()

    def _load(self) -> tuple[bytes | None, int, tuple[bytes, ...]]:
        self._require(self._pragma("application_id") == APPLICATION_ID, "is no journal")
        version = self._pragma("user_version")
        if version > FORMAT:
            raise SnapshotVersionError(
                f"{self.path} has format {version}; this release ({__version__}) reads format "
                f"{FORMAT}: upgrade stageroute"
            )
        ((_, fingerprint, identity, has_tail, *committed),) = self._rows("journal", 1)
        require_fingerprint(str(self.path), self._fingerprints, fingerprint)
        mode = self._execute("PRAGMA journal_mode").fetchone()[0]
        self._require(mode == "wal", f"is damaged: its journal mode is {mode}")
        check = self._execute("PRAGMA quick_check(1)").fetchone()[0]
        self._require(check == "ok", f"is damaged: {check}")
        self.identity, self.has_tail = identity, bool(has_tail)
        self._committed = (committed[0], committed[1])
        first_seq, snapshot = 1, None
        for _, first_seq, snapshot in self._rows("snapshot", 0, 1):  # noqa: B007
            self.snapshot_bytes = len(snapshot)
        batches: list[bytes] = []
        next_seq = first_seq
        for start, end, body in self._rows("batches"):
            # A snapshot may be taken while its first records are being stored as a batch.
            follows = start == next_seq if batches else start <= next_seq < end
            self._require(follows, f"is damaged: record {next_seq} is missing")
            batches.append(_without(body, next_seq - start))
            next_seq = end
            self.batch_bytes += len(body) + ROW_BYTES
        self._require(next_seq == self.committed[0], f"is damaged: record {next_seq} is missing")
        return snapshot, first_seq, tuple(batches)

    def note_tail(self) -> None:
        """Note that the tail was made."""
        with self._transaction():
            self._note(self.committed)
        self.has_tail = True
        self.synchronise()

    def synchronise(self, *, cut_log: bool = True) -> None:
        """Have all on the disk, and in the database: damage to the log can no longer take it."""
        with _errors_of(self.path):
            self._execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if cut_log else 'FULL'})")

    def add_batch(self, records: bytes, end: Position) -> None:
        """Store the records from `committed` to `end`."""
        first_seq, next_seq = self.committed[0], end[0]
        row = (first_seq, next_seq, records)
        self._committed = None
        with self._transaction():
            self._execute("INSERT INTO batches VALUES (?, ?, ?, ?)", (*row, _digest(row)))
            self._note(end)
        self._committed = end
        self.batch_bytes += len(records) + ROW_BYTES

    def set_snapshot(self, body: bytes, position: Position) -> None:
        """Store the state before the record at `position`; drop the batches that are part of it."""
        row = (1, position[0], body)
        committed = max(self.committed, position)
        self._committed = None
        with self._transaction():
            self._execute("REPLACE INTO snapshot VALUES (?, ?, ?, ?)", (*row, _digest(row)))
            self._execute("DELETE FROM batches WHERE next_seq <= ?", (position[0],))
            sizes = self._execute("SELECT total(length(body) + ?) FROM batches", (ROW_BYTES,))
            batch_bytes = int(sizes.fetchone()[0])
            self._note(committed)
        self._committed, self.batch_bytes, self.snapshot_bytes = committed, batch_bytes, len(body)

    def close(self) -> None:
        """Close the database; others can open it."""
        self._connection.close()

    def abandon(self) -> None:
        """Close the database without changing a byte of it."""
        # Closing would move the write-ahead log into the database; an interrupt keeps it from that.
        self._connection.interrupt()
        self._connection.close()

    def __del__(self) -> None:
        # An interrupt can come before there is anyone to close it; a connection is garbage that
        # only the collector finds.
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self.abandon()

    def _create(self) -> None:
        mode = self._execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise JournalError(f"{self.path}: SQLite keeps no write-ahead log on this file system")
        self.identity = secrets.token_bytes(16)
        with self._transaction():
            for statement in SCHEMA:
                self._execute(statement)
            self._note(self.committed, has_tail=False)

    def _rows(self, table: str, *counts: int) -> list[tuple[Any, ...]]:
        """Rows in the order of their keys, less their last column, which is checked."""
        rows = self._execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # noqa: S608
        self._require(not counts or len(rows) in counts, f"is damaged: {len(rows)} {table} rows")
        for row in rows:
            intact = row[-1] == _digest(row[:-1])
            self._require(intact, f"is damaged: the SHA-256 of {table} {row[0]} does not fit")
        return [row[:-1] for row in rows]

    def _note(self, committed: Position, *, has_tail: bool = True) -> None:
        row = (1, self._fingerprints[-1], self.identity, int(has_tail), *committed)
        values = (*row, _digest(row))
        self._execute("REPLACE INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def _require(self, ok: bool, what: str) -> None:  # noqa: FBT001
        if not ok:
            raise SnapshotCorruptError(f"{self.path} {what}")

    def _pragma(self, name: str) -> int:
        return int(self._execute(f"PRAGMA {name}").fetchone()[0])

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        return self._connection.execute(statement, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _errors_of(self.path):
            try:
                self._execute("BEGIN IMMEDIATE")
                yield
                self._execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._execute("ROLLBACK")
                raise


def _without(records: bytes, count: int) -> bytes:
    """Drop the first `count` records."""
    at = 0
    for _ in range(count):
        at += 4 + int.from_bytes(records[at : at + 4], "little")
    return records[at:]


def _digest(row: tuple[object, ...]) -> bytes:
    digest = hashlib.sha256()
    for field in row:
        data = field if isinstance(field, bytes) else repr(field).encode()
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()


@contextlib.contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Raise this package's errors in place of SQLite's."""
    try:
        yield
    except sqlite3.Error as error:
        # Text that is not UTF-8 comes without a code.
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in DAMAGE:
            raise SnapshotCorruptError(f"{path} is damaged, or is no journal: {error}") from error
        if code == sqlite3.SQLITE_BUSY:
            raise JournalLockedError(
                f"{path} is open already, here or in another process: a journal has one router"
            ) from error
        raise JournalError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        # A message of SQLite's that quotes what is no text any more.
        raise SnapshotCorruptError(f"{path} is damaged: {error}") from error


def _keep_connections() -> None:
    """In a forked child, never close a connection: that would unlink the parent's log."""
    for store in list(_connections):
        keep_for_ever(store)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_connections)
