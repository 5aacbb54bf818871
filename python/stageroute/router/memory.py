"""What a router remembers across restarts: its journal, and snapshots in files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from stageroute.checks import as_path
from stageroute.decision_log.log import DecisionLog
from stageroute.errors import JournalError
from stageroute.journal import snapshot_file
from stageroute.journal.journal import Journal
from stageroute.router import facts as formats
from stageroute.router.part import Part
from stageroute.router.state import Recovery

LONGEST_WAIT: Final = 1.0
"""Seconds that a snapshot waits for the decision log, at most: a sink may be slow."""


class Memory(Part):
    """The journal of a router, if it has one, and its snapshots."""

    _journal: Journal | None = None
    _recovered: Recovery | None = None
    _decision_log: DecisionLog | None = None

    @property
    def recovered(self) -> Recovery | None:
        """What became of the calls in the journal that it was made from; None without one."""
        self._require_own()
        return self._recovered

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
        path = as_path("path", path)
        _, facts, state = self._control.snapshot()
        snapshot_file.write(path, formats.header(facts), state)

    def _repeat_all(self, records: Iterable[bytes], log: DecisionLog | None) -> int:
        """Do what records of the journal say, and return their number.

        The log gets the decisions among them that a kill has kept from it.
        """
        missing, count = None if log is None else log.missing(), 0
        for record in records:
            self._repeat(record)
            count += 1
            if missing is not None and count % missing.pause == 0:
                missing.take(self._control, self._names())
        if log is not None and missing is not None:
            missing.take(self._control, self._names())
            log.write_missing(missing)
        return count

    def _names(self) -> list[str]:
        return [model.name for model in self._facts.models]

    def _repeat(self, record: bytes) -> None:
        """Do what a record of the journal says, once more."""
        note = self._control.repeat(record)
        if not note:
            return
        before = self._facts
        facts = before.repeated(note, self._arm_or_none)
        self._control.set_facts(facts)
        self._control.name_arms([model.name for model in facts.models[len(before.models) :]])

    def _arm_or_none(self, name: str) -> int | None:
        """Return the arm of a name; None if the last arm is still to be given it."""
        is_new = self._control.num_arms() > len(self._facts.models)
        return None if is_new else self._control.arm(name)

    def _start_journal(self) -> None:
        """Begin to commit what is journaled."""
        if self._journal is not None:
            self._journal.begin()
            if not self._journal.has_snapshot or (self._recovered and self._recovered.gap):
                self._journal.compact(self._take_snapshot)
            self._journal.start(self._take_snapshot)

    def _take_snapshot(self) -> tuple[tuple[int, int], bytes]:
        """Return where the journal stands, and everything there is at that point."""
        head, facts, state = self._control.snapshot()
        if head is None:
            raise JournalError("this router has no journal")
        if self._decision_log is not None:
            # What the snapshot stands for will not be repeated, so the log should have it by then.
            self._decision_log.catch_up(LONGEST_WAIT)
        return head, snapshot_file.dumps(formats.header(facts), state)
