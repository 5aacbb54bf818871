"""The journal after kills, cuts and full disks."""

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from journal_ledger import PROGRAM, Ledger, die, open_journal, records_in, total_in
from stageroute.errors import JournalGapError, JournalLockedError
from stageroute.journal import recovery
from stageroute.journal.recovery import Recovered, tail_of
from stageroute.journal.store import JournalStore


@pytest.mark.parametrize("change", [lambda byte: byte ^ 1, lambda _: 0, lambda _: 255])
@pytest.mark.parametrize("number", [3, 5])
def test_a_record_damaged_at_any_byte_is_a_gap(
    journal_path: Path, change: Callable[[int], int], number: int
) -> None:
    """Wherever it stands: a record that was being written when its process died has no number."""
    records = [
        b"one",
        b"two",
        b"the third record, of 30 bytes.",
        b"four",
        b"the fifth one, as well",
    ]
    journal, _ = open_journal(journal_path)
    offsets = []
    for record in records:
        offsets.append(4096 + journal.tail.head()[1])
        journal.tail.append(record)
        if record == b"two":
            journal.flush()
    die(journal)
    offset, size = offsets[number - 1], 16 + len(records[number - 1])
    tail = tail_of(journal_path)
    whole = tail.read_bytes()
    for start, only in itertools.product(range(size), (True, False)):
        data = bytearray(whole)
        for at in range(offset + start, offset + (start + 1 if only else size)):
            data[at] = change(data[at])
        if data == whole:
            continue
        tail.write_bytes(data)
        with pytest.raises(JournalGapError, match=f"record {number} is damaged or missing") as gap:
            open_journal(journal_path)
        assert gap.value.lost == 6 - number
        assert tail.read_bytes() == data
    tail.write_bytes(data)
    journal, recovered = open_journal(journal_path, allow_loss=True)
    assert list(recovered.records()) == records[: number - 1]
    assert (recovered.lost, recovered.cut) == (6 - number, 5 - number)
    assert journal.tail.append(b"again") == number
    die(journal)
    assert records_in(journal_path) == [*records[: number - 1], b"again"]


class DeathError(BaseException):
    """The process ends here."""


def live_until(statement: int, ledger: Ledger) -> bool:
    """Commit and compact, until death before this statement of SQL; return whether it came."""
    journal, store = ledger.journal, ledger.journal._store
    execute, count = store._execute, itertools.count()

    def execute_or_die(*arguments: Any) -> Any:
        if next(count) == statement:
            # What other threads do meanwhile: there is no more room than for what is not needed.
            while journal.tail.has_room(60):
                ledger.append("b")
            raise DeathError
        return execute(*arguments)

    store._execute = execute_or_die  # type: ignore[assignment, method-assign]
    try:
        for _ in range(3):
            for _ in range(20):
                ledger.append("a")
            journal.flush()
        position, body = ledger.take_snapshot()
        ledger.append("a")
        journal.flush()
        store.set_snapshot(body, position)
        ledger.append("a")
        journal.compact(ledger.take_snapshot)
        journal.flush()
        ledger.append("a")
        journal.flush()
    except DeathError:
        return True
    return False


def test_death_before_any_statement(tmp_path: Path) -> None:
    is_dead, statement = True, 0
    while is_dead:
        path = tmp_path / f"{statement}"
        ledger = Ledger(path, tail_bytes=1 << 12)
        is_dead = live_until(statement, ledger)
        die(ledger.journal)
        assert total_in(path) == ledger.total
        statement += 1
    assert statement > 30


@pytest.mark.parametrize("step", ["create", "note_tail"])
def test_killed_while_it_is_made(
    journal_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if step == "create":
            patched.setattr(recovery, "Tail", type("Tail", (), {"create": stop}))
        else:
            patched.setattr(JournalStore, "note_tail", stop)
        with pytest.raises(KeyboardInterrupt):
            open_journal(journal_path)
    journal, recovered = open_journal(journal_path)
    assert recovered == Recovered(None, 1, ())
    for record in (b"one", b""):
        journal.tail.append(record)
    die(journal)
    assert records_in(journal_path) == [b"one", b""]


def test_a_full_disk_is_an_outage_and_not_the_end(journal_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "fill", str(journal_path)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == -9, child.stderr
    assert child.stderr.count("cannot commit or compact for now") == 1
    assert child.stderr.count("committed again") == 1
    assert total_in(journal_path) == int(child.stdout)


def test_processes_have_it_one_at_a_time_and_lose_nothing_when_they_just_end(
    journal_path: Path,
) -> None:
    command = [sys.executable, "-W", "error", str(PROGRAM), "end", str(journal_path)]
    ledger = Ledger(journal_path)
    for _ in range(2):
        with pytest.raises(JournalLockedError, match="folder/journal is open already, here or in"):
            Ledger(journal_path)
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert f"{journal_path} is open already" in other.stderr
        ledger.append("b")
        ledger.journal.flush()
    # The lock goes with the journal, for other processes too.
    ledger.journal.close()
    for time_of_it in (1, 2):
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (other.returncode, other.stderr) == (0, "")
        assert total_in(journal_path) == 2 + 200 * time_of_it
