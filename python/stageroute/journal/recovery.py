"""Opening a journal: what it held, whatever became of the process that wrote it."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from stageroute._core import Tail
from stageroute.config.journal import JournalSettings
from stageroute.errors import SnapshotCorruptError
from stageroute.journal.store import JournalStore

logger = logging.getLogger("stageroute")


class TornTail(NamedTuple):
    """A record that was cut because it was not complete."""

    seq: int
    """Its number."""
    size: int
    """Bytes that it claimed."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal held when it was opened.

    Attributes
    ----------
    snapshot : bytes or None
        The state before record `first_seq`; None for that of a new router.
    batches : tuple of bytes
        The records from `first_seq` on; see `records`.
    torn : TornTail or None
        The record behind them, if one was not complete: it was never acknowledged, or the power
        was cut.
    lost : int
        How many acknowledged records behind these are gone, as far as can be told; only a power
        cut, or putting back an old copy of the database, loses any.
    """

    snapshot: bytes | None
    first_seq: int
    batches: tuple[bytes, ...]
    torn: TornTail | None = None
    lost: int = 0

    def records(self) -> Iterator[bytes]:
        """Give the records, in order."""
        for batch in self.batches:
            yield from Tail.split(batch)


def recover(
    settings: JournalSettings, fingerprints: Sequence[str]
) -> tuple[JournalStore, Tail, Recovered]:
    """Open the files of a journal, or make them; `Journal.open` says the rest."""
    path = Path(settings.path).resolve()
    tail_path = tail_of(path)
    has_tail = tail_path.exists()
    if has_tail and not path.exists():
        raise SnapshotCorruptError(
            f"{path} is missing, but not its tail: put it back, or move {tail_path} away to start "
            "anew"
        )
    store = JournalStore(path, fingerprints, settings.durability, may_create=not has_tail)
    try:
        recovered = Recovered(*store.load())
        if has_tail:
            tail, records, torn, lost = Tail.open(tail_path, store.identity, store.committed)
            batches = (*recovered.batches, *([records] if records else []))
            torn = None if torn is None else TornTail(*torn)
            recovered = replace(recovered, batches=batches, torn=torn, lost=lost)
        else:
            tail = _new_tail(tail_path, store, settings)
        if not store.has_tail:
            store.note_tail()
    except BaseException:
        store.abandon()
        raise
    if recovered.torn is not None:
        logger.warning(
            "journal %s: record %d (%d bytes) was not complete and was cut", path, *recovered.torn
        )
    if recovered.lost:
        logger.warning(
            "journal %s: at least %d records are lost: they were committed, but the database is "
            "older than its tail (power cut, or an old copy)",
            path,
            recovered.lost,
        )
    return store, tail, recovered


def _new_tail(path: Path, store: JournalStore, settings: JournalSettings) -> Tail:
    if store.has_tail and not settings.allow_missing_tail:
        raise SnapshotCorruptError(
            f"{path} is missing, and with it the last records: put it back, or open the journal "
            "with allow_missing_tail=True to go on without them"
        )
    if store.has_tail:
        logger.warning("journal tail %s was missing; going on without its records", path)
    return Tail.create(path, settings.tail_bytes, store.identity, store.committed)


def tail_of(path: Path) -> Path:
    """Name the tail of a database."""
    return path.with_name(f"{path.name}-tail")
