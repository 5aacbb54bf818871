"""What a router remembers across restarts: its journal, and snapshots in files."""

import threading
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from stageroute._core import Control
from stageroute.errors import JournalError
from stageroute.journal.journal import Journal, Recovered
from stageroute.router import facts as formats
from stageroute.router.facts import FINGERPRINT, Facts

__all__ = ["JournalSettings", "Memory", "open_journal"]


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Where a router keeps its journal, and how surely.

    Parameters
    ----------
    path : path-like
        An SQLite database, made where it is missing; beside it lies ``<path>-tail``. On a local
        disk; nobody else is to open or copy it while it is in use.
    durability : {"process", "disk"}, default "process"
        What survives at once when a call returns is the same, every acknowledged call, whatever
        becomes of the process. With ``"disk"`` the disk is synchronised with every commit, so that
        a power cut costs no more than the last `commit_seconds`; `StageRouter.flush` waits for it.
    commit_seconds : float, default 0.05
        Calls wait so long, at most, until they are committed to the database, in (0, 5].
    tail_bytes : int, default 16 MiB
        Room for calls that are not committed yet, in [2**12, 2**28]. When the disk stalls for so
        long that it fills, calls are refused with `JournalFullError`.
    compact_bytes : int, default 16 MiB
        When the journal takes more, a snapshot takes its place.
    """

    path: str | Path
    durability: str = "process"
    commit_seconds: float = 0.05
    tail_bytes: int = 1 << 24
    compact_bytes: int = 1 << 24


class Memory:
    """The journal of a router, if it has one, and its snapshots.

    Parameters
    ----------
    control : Control
    facts : Facts
    lock : RLock
        Held while models and stages change.
    """

    def __init__(self, control: Control, facts: Facts, lock: threading.RLock) -> None:
        self._control = control
        self._facts = facts
        self._lock = lock
        self._journal: Journal | None = None

    def repeat(self, record: bytes) -> None:
        """Do what a record of the journal says, once more."""
        note = self._control.repeat(record)
        model = None if note is None else self._facts.apply(note)
        if model is None:
            return
        if self._control.has(model.name):
            self._facts.models[self._control.arm(model.name)] = model
        else:
            self._facts.models.append(model)
            self._control.name_arms([model.name])

    def attach(self, journal: Journal) -> None:
        """Have every call journaled from now on."""
        self._control.attach_journal(journal.tail)
        self._journal = journal

    def start(self) -> None:
        """Begin to commit what is journaled."""
        if self._journal is not None:
            self._journal.start(self.take_snapshot)
            if not self._journal.has_snapshot:
                self._journal.compact(self.take_snapshot)

    def take_snapshot(self) -> tuple[tuple[int, int], bytes]:
        """Return where the journal stands, and everything there is at that point."""
        head, facts, state = self._now()
        if head is None:
            raise JournalError("this router has no journal")
        return head, formats.encode(facts, state)

    def snapshot(self, path: str | Path) -> None:
        """Write all that the router is to a file: `restore` goes on from there.

        Statistics, open decisions, budget and pacing, limits, health, live set, generator and
        counters; not the decision log. The file of that name is the old one or the new one, never
        half.

        Parameters
        ----------
        path : path-like

        Raises
        ------
        OSError
            If it cannot be written.
        """
        _, facts, state = self._now()
        formats.save(path, facts, state)

    def flush(self) -> None:
        """Wait until the journal has committed all so far."""
        if self._journal is not None:
            self._journal.flush()

    def close(self) -> None:
        """Commit what is left; calls are refused from now on, if there is a journal."""
        if self._journal is not None:
            self._journal.close()

    def _now(self) -> tuple[tuple[int, int] | None, Facts, bytes]:
        with self._lock:
            head, state = self._control.snapshot()
            return head, deepcopy(self._facts), state


def open_journal(journal: JournalSettings) -> tuple[Journal, Recovered]:
    """Open a journal, or make one.

    Raises
    ------
    JournalLockedError, JournalError, SnapshotError
        As `Journal.open`.
    """
    opened, recovered = Journal.open(
        journal.path,
        fingerprint=FINGERPRINT,
        durability=journal.durability,  # type: ignore[arg-type]  # checked there
        commit_seconds=journal.commit_seconds,
        tail_bytes=journal.tail_bytes,
        compact_bytes=journal.compact_bytes,
    )
    return opened, recovered
