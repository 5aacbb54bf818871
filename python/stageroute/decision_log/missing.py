"""Decisions that a journal repeats and a log does not have: a kill caught them on the way there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from stageroute.decision_log.batch import DecisionBatch

if TYPE_CHECKING:
    from stageroute._core import Control

RECORDS_BETWEEN: Final = 1024
"""Records of a journal that are repeated, at most, before the decisions among them are taken."""


def drain(
    control: "Control", names: Sequence[str], *, is_repeated: bool = False
) -> tuple[DecisionBatch, int]:
    """Take the decisions that a router has kept, and the number of those that it had to drop.

    They are given again until `Control.forget_log`.
    """
    columns = control.drain_log()
    return DecisionBatch(columns, names, is_repeated=is_repeated), columns["dropped"]


class MissingDecisions:
    """Collects repeated decisions behind the last one that a sink has.

    Parameters
    ----------
    sink : object
        If it has no method ``last_logged``, nobody knows what it has, and nothing is missing.
        The method returns (id, time) of the last decision that it has, or None if it has none.
    capacity : int
        Decisions that the router keeps.
    """

    def __init__(self, sink: object, capacity: int) -> None:
        ask = getattr(sink, "last_logged", None)
        self._is_known = ask is not None
        self._last = None if ask is None else ask()
        self.batches: list[DecisionBatch] = []
        self.pause = max(1, min(RECORDS_BETWEEN, capacity // 16))

    def take(self, control: "Control", names: Sequence[str]) -> None:
        """Take what a router has repeated: after each `pause` records, and at the end."""
        batch, _ = drain(control, names, is_repeated=True)
        control.forget_log()
        if not (self._is_known and len(batch)):
            return
        columns = batch.columns
        if self._last is not None:
            number, time = self._last
            found = ((columns["id"] == number) & (columns["time"] == time)).nonzero()[0]
            if found.size:
                self.batches.clear()
                batch = batch.behind(int(found[-1]) + 1)
        if len(batch):
            self.batches.append(batch)
