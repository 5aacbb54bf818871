"""The journal: what it refuses, and leaves as it was."""

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from journal_ledger import die, open_journal, records_in
from stageroute.errors import (
    JournalError,
    JournalGapError,
    SnapshotCorruptError,
    SnapshotMismatchError,
    SnapshotVersionError,
    StageRouteError,
)
from stageroute.journal.recovery import tail_of


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Read a folder. Not while a journal in it is open: closing its files frees their lock."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def edit(statement: str, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def close_and_cut(path: Path, size: int) -> Path:
    open_journal(path)[0].close()
    path.write_bytes(path.read_bytes()[:size])
    return path


def other_tail(path: Path) -> None:
    open_journal(path.with_name("other"))[0].close()
    path.with_name("other").unlink()
    path.with_name("other-tail").replace(tail_of(path))


SPOILT: dict[str, Callable[[Path], object]] = {
    "journal-tail: this tail has 5000 bytes": (
        lambda path: tail_of(path).write_bytes(tail_of(path).read_bytes()[:5000])
    ),
    "journal-tail is missing, .*allow_missing_tail=True": (
        lambda path: tail_of(path).rename(path.with_name("away"))
    ),
    "journal is missing, but not its tail": lambda path: close_and_cut(path, 0).unlink(),
    "journal is damaged": lambda path: close_and_cut(path, 5000),
    "journal is empty, but its tail is not: put it back, or move the tail": (
        lambda path: close_and_cut(path, 0)
    ),
    "journal is damaged, or is no journal: file is not a database": (
        lambda path: path.write_bytes(b"not a database, and longer than its header" * 100)
    ),
    "journal is no journal": partial(edit, "PRAGMA application_id = 7"),
    "no such table: batches": partial(edit, "DROP TABLE batches"),
    "the SHA-256 of batches 2 does not fit": (
        partial(edit, "UPDATE batches SET body = x'00' WHERE first_seq = 2")
    ),
    "record 2 is missing": partial(edit, "DELETE FROM batches WHERE first_seq = 2"),
    "record 3 is missing": partial(edit, "DELETE FROM batches WHERE first_seq = 3"),
    "record 1 is missing": partial(edit, "DELETE FROM snapshot"),
    "the SHA-256 of journal 1 does not fit": partial(edit, "UPDATE journal SET next_offset = 0"),
    "0 journal rows": partial(edit, "DELETE FROM journal"),
    "journal-tail: this tail has format 3": lambda path: patch(tail_of(path), 8, b"\3"),
    "has format 2; this release .* reads format 1: upgrade stageroute": (
        partial(edit, "PRAGMA user_version = 2")
    ),
    "journal-tail: this tail belongs to another journal": other_tail,
}
ERRORS = {"has format": SnapshotVersionError, "belongs to another": SnapshotMismatchError}
"""What else than damage is the reason, by a part of the message."""


@pytest.fixture
def populated(journal_path: Path) -> Path:
    """A closed journal: a snapshot, two batches, a record in the tail alone."""
    journal, _ = open_journal(journal_path)
    journal.tail.append(b"one")
    journal._store.set_snapshot(b"state after one", journal.tail.head())
    for record in (b"two", b"three"):
        journal.tail.append(record)
        journal.flush()
    journal.tail.append(b"four")
    die(journal)
    return journal_path


@pytest.mark.parametrize("message", SPOILT)
def test_spoilt_files_are_refused_and_left_alone(populated: Path, message: str) -> None:
    SPOILT[message](populated)
    error = next((ERRORS[part] for part in ERRORS if part in message), SnapshotCorruptError)
    before = bytes_of(populated.parent)
    for _ in range(2):
        with pytest.raises(error, match=message):
            open_journal(populated)
        assert bytes_of(populated.parent) == before


def test_another_configuration_is_refused_and_shown(populated: Path) -> None:
    before = bytes_of(populated.parent)
    assert len(before["journal-wal"]) > 4096, "commits that are not in the database yet stay there"
    with pytest.raises(SnapshotMismatchError, match=r"(?s)there: ours\n.*here:  b = 0\.002"):
        open_journal(populated, fingerprint="b = 0.002")
    assert bytes_of(populated.parent) == before
    journal, recovered = open_journal(populated)
    journal.close()
    assert (recovered.snapshot, recovered.first_seq) == (b"state after one", 2)
    assert list(recovered.records()) == [b"two", b"three", b"four"]


def test_files_that_cannot_be_opened_at_all(journal_path: Path) -> None:
    for bad in (journal_path.parent, journal_path.parent / "no folder" / "journal"):
        with pytest.raises(JournalError, match="unable to open database file"):
            open_journal(bad)
    assert list(journal_path.parent.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["journal-wal", "journal"])
def test_no_damage_of_the_database_changes_what_comes_back(populated: Path, name: str) -> None:
    if name == "journal":
        open_journal(populated)[0].close()
    before = bytes_of(populated.parent)
    generator = random.Random(3)
    refused = 0
    for _ in range(250):
        at = generator.randrange(len(before[name]))
        flipped = before[name][at] ^ generator.choice([1, 64])
        patch(populated.with_name(name), at, bytes([flipped]))
        spoiled = bytes_of(populated.parent)
        try:
            journal, recovered = open_journal(populated)
        except StageRouteError:
            refused += 1
            assert bytes_of(populated.parent) == spoiled
        else:
            die(journal)
            # SQLite ignores a log from the damage on; the ring still has those records.
            state = {b"": [], b"state after one": [b"one"]}[recovered.snapshot or b""]
            assert [*state, *recovered.records()] == [b"one", b"two", b"three", b"four"]
            assert recovered.lost == 0
        for file, data in before.items():
            populated.with_name(file).write_bytes(data)
    print(f"{name}: {refused} of 250 refused")


def test_a_missing_tail_can_be_done_without(
    populated: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tail_of(populated).unlink()
    journal, recovered = open_journal(populated, allow_missing_tail=True)
    assert list(recovered.records()) == [b"two", b"three"]
    assert "journal-tail was missing" in caplog.text
    assert journal.tail.append(b"another four") == 4
    die(journal)
    assert records_in(populated) == [b"two", b"three", b"another four"]


def test_an_old_database_with_a_new_tail_is_reported(
    journal_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal, _ = open_journal(journal_path)
    journal.tail.append(b"old")
    journal.close()
    old = journal_path.read_bytes()
    journal, _ = open_journal(journal_path)
    for _ in range(300):
        journal.tail.append(b"new")
        journal.flush()
    journal.close()
    journal_path.write_bytes(old)
    before = bytes_of(journal_path.parent)
    with pytest.raises(JournalGapError, match=r"record 2 .* at least 300") as gap:
        open_journal(journal_path)
    assert gap.value.lost == 300
    assert bytes_of(journal_path.parent) == before
    journal, recovered = open_journal(journal_path, allow_loss=True)
    assert list(recovered.records()) == [b"old"]
    assert recovered.lost == 300
    assert "at least 300 records are lost" in caplog.text
    journal.tail.append(b"another")
    journal.close()
    assert records_in(journal_path) == [b"old", b"another"]
