"""Opening a journal: what it held, whatever became of the process that wrote it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from stageroute._core import Tail
from stageroute.config.journal import JournalSettings
from stageroute.errors import JournalGapError, SnapshotCorruptError
from stageroute.journal.lock import FileLock
from stageroute.journal.store import JournalStore, Position

logger = logging.getLogger("stageroute")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal held when it was opened.

    Attributes
    ----------
    snapshot : bytes or None
        The state before record `first_seq`; None for that of a new router.
    batches : tuple of bytes
        The records from `first_seq` on; see `records`.
    lost : int
        How many acknowledged records behind these are gone, at least.
    cut : int
        How many of them are there, but cannot be repeated, because what they follow is not.
    gap : str
        How one can tell that something is missing; empty where nothing is.
    """

    snapshot: bytes | None
    first_seq: int
    batches: tuple[bytes, ...]
    lost: int = 0
    cut: int = 0
    gap: str = ""

    def records(self) -> Iterator[bytes]:
        """Give the records, in order."""
        for batch in self.batches:
            yield from Tail.split(batch)


class Opened(NamedTuple):
    """The files of a journal, and what they held.

    `pending` are the records that the tail alone has, and where they end; they are stored before
    the tail takes others.
    """

    store: JournalStore
    tail: Tail
    lock: FileLock
    recovered: Recovered
    pending: tuple[bytes, Position] | None


def recover(settings: JournalSettings, fingerprints: Sequence[str]) -> Opened:
    """Open the files of a journal, or make them; `Journal.open` says the rest."""
    path = Path(settings.path).resolve()
    tail_path = tail_of(path)
    has_tail = tail_path.exists()
    if has_tail and not path.exists():
        raise SnapshotCorruptError(
            f"{path} is missing, but not its tail: put it back, or move {tail_path} away to start "
            "anew"
        )
    if has_tail and path.stat().st_size == 0:
        # SQLite would delete the log of an empty database.
        raise SnapshotCorruptError(
            f"{path} is empty, but its tail is not: put it back, or move the tail away to start "
            "anew"
        )
    store = JournalStore(path, fingerprints, settings.durability, may_create=not has_tail)
    lock = None
    try:
        if has_tail:
            lock = FileLock(tail_path, path)
            opened = _open_tail(tail_path, store, lock, settings)
        else:
            snapshot, first_seq, batches = store.load()
            tail, gap = _new_tail(tail_path, store, settings)
            lock = FileLock(tail_path, path)
            recovered = Recovered(snapshot, first_seq, batches, gap=gap)
            opened = Opened(store, tail, lock, recovered, None)
        # A process that died while it made a tail has left this behind.
        tail_path.with_name(f"{tail_path.name}.new").unlink(missing_ok=True)
        if not store.has_tail:
            store.note_tail()
    except BaseException:
        store.abandon()
        if lock is not None:
            lock.release()
        raise
    return opened


def _open_tail(
    path: Path, store: JournalStore, lock: FileLock, settings: JournalSettings
) -> Opened:
    """Read what the tail has beside the database; a `JournalGapError` if that is not all."""
    snapshot, first_seq, batches = store.load()
    tail, records, end, missing = Tail.open(path, store.identity, store.committed)
    lost, cut, is_stale = missing
    gap = ""
    if snapshot is None and (batches or records or lost or end != (1, 0)):
        # A router is handed out with a snapshot in its journal. These records have none to start
        # from, so that they are lost, too.
        cut += end[0] - first_seq
        lost += end[0] - first_seq
        gap = "the snapshot that its records start from is missing"
        records, batches = b"", ()
    elif lost:
        gap = f"record {end[0]} is damaged or missing"
    elif is_stale:
        gap = f"{path.name} is older than the database, and what it held since is missing"
    if gap and not settings.allow_loss:
        _refuse(store.path, gap, lost)
    if gap:
        logger.warning("journal %s: %s: at least %d records are lost", store.path, gap, lost)
    if records:
        batches = (*batches, records)
    recovered = Recovered(snapshot, first_seq, batches, lost, cut, gap)
    return Opened(store, tail, lock, recovered, (records, end))


def _refuse(path: Path, gap: str, lost: int) -> NoReturn:
    known = f"at least {lost} acknowledged calls" if lost else "the last acknowledged calls"
    raise JournalGapError(
        f"{path}: {gap}: {known} would be lost. Put the files back as they were, or open the "
        "journal with allow_loss=True to go on without them",
        lost,
    )


def _new_tail(path: Path, store: JournalStore, settings: JournalSettings) -> tuple[Tail, str]:
    """Make a tail, and say what is missing if there was one."""
    gap = f"{path.name} is missing, and with it the last records" if store.has_tail else ""
    if gap and not (settings.allow_missing_tail or settings.allow_loss):
        raise JournalGapError(
            f"{path} is missing, and with it the last records: put it back, or open the journal "
            "with allow_missing_tail=True to go on without them"
        )
    if gap:
        logger.warning("journal tail %s was missing; going on without its records", path)
    tail = Tail.create(path, settings.tail_bytes, store.identity, store.committed)
    return tail, gap


def tail_of(path: Path) -> Path:
    """Name the tail of a database."""
    return path.with_name(f"{path.name}-tail")
