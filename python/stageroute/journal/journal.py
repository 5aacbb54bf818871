"""The journal: every acknowledged record outlives the process, at the price of a copy to memory.

Two files. ``<path>-tail`` is a ring of records in memory shared with the kernel
(`stageroute._core.Tail`): an append is durable when it returns. ``<path>`` is an SQLite database:
a background thread moves records from the tail to there, many in one transaction, and now and then
has a snapshot of the router take their place, so that neither file grows without bound.

What survives:

========================  =============================  ====================================
``durability``            ``kill -9``, a crash           a power cut, a crash of the system
========================  =============================  ====================================
``"process"`` (default)   every acknowledged record      what SQLite has synchronised
``"disk"``                every acknowledged record      all but the last ``commit_seconds``,
                                                         and the time of a commit
========================  =============================  ====================================

What is missing all the same, or may be, is a `JournalGapError` at the next start.

A journal is for local disks and for one process: its forks leave it alone.
"""

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Self, TypeAlias

from stageroute._core import Birth, Tail
from stageroute.config.journal import JournalSettings
from stageroute.errors import JournalError, StageRouteError
from stageroute.journal.recovery import Opened, Recovered, recover, tail_of
from stageroute.journal.store import Position
from stageroute.threads import finish_at_exit, join, make_lock, start_thread

logger = logging.getLogger("stageroute")

LONGEST_PAUSE: Final = 5.0
"""Seconds between two attempts to commit, at most, while the disk refuses."""

TakeSnapshot: TypeAlias = Callable[[], tuple[Position, bytes]]


class Journal:
    """A durable sequence of records, which its `tail` takes; made by `open`."""

    def __init__(self, opened: Opened, settings: JournalSettings) -> None:
        self.tail = opened.tail
        self._store = opened.store
        self._files = opened.lock
        self._pending = opened.pending
        self._settings = settings
        self._birth = Birth()
        # Held while the disk is written, and never while the owner's lock is taken.
        self._lock = make_lock()
        self._is_writing = False
        self._is_stopped = False
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._last_error: Exception | None = None

    @classmethod
    def open(cls, settings: JournalSettings, fingerprints: Sequence[str]) -> tuple[Self, Recovered]:
        """Open a journal, or make a new one; return it, and what it held.

        A journal of none of these fingerprints is refused, and the last one is written; errors are
        those of `StageRouter`. Not a byte of the files has changed after one. Records are taken
        from `begin` on.
        """
        with _opening:
            opened = recover(settings, fingerprints)
            journal = cls(opened, settings)
            _open[id(journal)] = journal
        return journal, opened.recovered

    def begin(self) -> None:
        """Have the database on the disk with all that was recovered, and take records."""
        with self._writing():
            if self._pending is not None:
                records, end = self._pending
                if end != self._store.committed:
                    self._store.add_batch(records, end)
                self._store.synchronise()
                self.tail.begin(end)
                self._pending = None

    @property
    def last_error(self) -> Exception | None:
        """Why records are not committed, or not compacted, which it keeps trying; None if well."""
        return self._last_error

    @property
    def has_snapshot(self) -> bool:
        """Whether its records have something to start from."""
        return self._store.snapshot_bytes is not None

    def start(self, take_snapshot: TakeSnapshot) -> None:
        """Commit from now on, in a thread that does not keep the owner of the method alive.

        `take_snapshot` is a bound method. It returns the tail's ``head()`` and the owner's state,
        both under the lock under which the owner appends. When the owner is gone, the journal is
        closed.
        """
        method = weakref.WeakMethod(take_snapshot, lambda _: self._stop())
        self._thread = start_thread("stageroute-journal", self._run, method)
        finish_at_exit(self)

    def compact(self, take_snapshot: TakeSnapshot) -> None:
        """Have a snapshot take the place of all records so far; or a `JournalError`, of none."""
        position, body = take_snapshot()
        with self._writing():
            if not self._is_closed:
                is_first = not self.has_snapshot
                self._store.set_snapshot(body, position)
                if is_first:
                    # The log holds this one transaction, whole or not at all: it need not be cut.
                    self._store.synchronise(cut_log=False)
                self.tail.release(self._store.committed)

    def abandon(self) -> None:
        """Close the files as they are, for a router that could not be made from them."""
        self._is_stopped = True
        with self._writing():
            self._is_closed = True
            self.tail.close()
            self._store.abandon()
            self._files.release()

    def flush(self) -> None:
        """Commit all records so far; after a `JournalError` they are still in the tail."""
        self._birth.check()
        with self._writing():
            if not self._is_closed:
                self._store_batch()
                self.tail.release(self._store.committed)

    finish = flush

    def close(self) -> None:
        """Commit what is left and close the files; no record is taken any more.

        Not to be called under a lock that `take_snapshot` takes. After a `JournalError` the last
        records are in the tail, where the next `open` finds them. In a forked child it does
        nothing.
        """
        if self._birth.is_inherited:
            return
        self._stop()
        join(self._thread)
        with self._writing():
            if self._is_closed:
                return
            self._is_closed = True
            self.tail.close()
            try:
                if self._pending is None:
                    self._store_batch()
                    # After a power cut a tail that is older than the database is a gap.
                    self._files.synchronise()
            finally:
                self._store.close()
                self._files.release()

    def _stop(self) -> None:
        self._is_stopped = True
        self.tail.wake()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock:
            if self._is_writing:
                raise JournalError(
                    f"{self._store.path} is being written by this very thread, which a finaliser "
                    "or a signal handler has interrupted: flush or close it later"
                )
            self._is_writing = True
            try:
                yield
            finally:
                self._is_writing = False

    def _run(self, method: "weakref.WeakMethod[TakeSnapshot]") -> None:
        pause = usual = self._settings.commit_seconds
        begun = time.monotonic()
        while not self._is_stopped:
            self.tail.wait(max(0.0, begun + pause - time.monotonic()))
            begun = time.monotonic()
            take_snapshot = method()
            if take_snapshot is None:
                break
            is_well = self._work(take_snapshot)
            del take_snapshot
            pause = usual if is_well else min(2.0 * pause, LONGEST_PAUSE)
        if method() is None:
            try:
                self.close()
            except StageRouteError as error:
                logger.warning(
                    "journal %s: closed without its last commit: %s", self._store.path, error
                )

    def _work(self, take_snapshot: TakeSnapshot) -> bool:
        """Commit, or say once per outage why not."""
        try:
            try:
                self._compact_if_due(take_snapshot)
            finally:
                self.flush()
        except Exception as error:  # noqa: BLE001  # the thread goes on whatever it is
            if self._last_error is None:
                logger.warning(
                    "journal %s: cannot commit or compact for now, will keep trying: %s: %s",
                    self._store.path,
                    type(error).__name__,
                    error,
                )
            # Frames that it passed through would keep the owner alive.
            error.__cause__ = error.__context__ = None
            self._last_error = error.with_traceback(None)
            return False
        if self._last_error is not None:
            logger.warning("journal %s: committed again", self._store.path)
        self._last_error = None
        return True

    def _compact_if_due(self, take_snapshot: TakeSnapshot) -> None:
        pending, snapshot_bytes = self.tail.pending, self._store.snapshot_bytes
        is_large = self._store.batch_bytes + pending > self._settings.compact_bytes
        is_cheaper = snapshot_bytes is not None and pending > snapshot_bytes
        if is_large or is_cheaper:
            self.compact(take_snapshot)

    def _store_batch(self) -> None:
        start, end = self._store.committed, self.tail.head()
        self._files.require_files()
        if start != end:
            if self._settings.durability == "disk":
                # Else a power cut might leave a tail that is older than the database.
                self._files.synchronise()
            self._store.add_batch(Tail.read_range(tail_of(self._store.path), start, end), end)


class _Held(threading.local):
    """The locks that a thread holds while it forks."""

    def __init__(self) -> None:
        self.locks: list[threading.RLock] = []


_open: "weakref.WeakValueDictionary[int, Journal]" = weakref.WeakValueDictionary()
_opening = make_lock()
_held = _Held()


def _hold_all() -> None:
    """Wait until nothing is written: a child would inherit locks of SQLite's for ever."""
    journals = [reference() for reference in _open.valuerefs()]
    locks = (journal._lock for journal in journals if journal is not None)  # noqa: SLF001
    _held.locks.extend(lock for lock in (_opening, *locks) if lock.acquire(timeout=LONGEST_PAUSE))


def _let_go() -> None:
    while _held.locks:
        _held.locks.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_all, after_in_parent=_let_go, after_in_child=_let_go)
