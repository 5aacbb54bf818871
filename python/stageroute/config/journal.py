"""Where a router keeps its journal, and how surely."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from stageroute.checks import as_path, check_fields, number_in, one_of, require, whole_in


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
        a power cut costs no more than the last `commit_seconds` and the time of a commit;
        `StageRouter.flush` waits for it.
    commit_seconds : float, default 0.05
        From the beginning of one commit to the database to that of the next, in (0, 5]; a commit
        that takes longer is followed by the next one at once.
    tail_bytes : int, default 16 MiB
        Room for calls that are not committed yet, in [2**12, 2**28], rounded up to a power of two;
        a tail that is there keeps its size. When the disk stalls for so long that it fills, calls
        are refused with `JournalFullError`.
    compact_bytes : int, default 16 MiB
        When the journal takes more, a snapshot takes its place.
    allow_loss : bool, default False
        Go on although acknowledged calls are missing, which is a `JournalGapError` otherwise;
        `StageRouter.recovered` says how many are known to be. A power cut can cost calls: a
        service that is to start by itself after one, without them, sets it.
    allow_missing_tail : bool, default False
        The same, but only where the tail as such is gone, and with it the last calls.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    path: str | Path
    durability: Annotated[str, one_of(("process", "disk"))] = "process"
    commit_seconds: Annotated[float, number_in("(0, 5]", "seconds")] = 0.05
    # A batch is one value of the database, which holds values of up to a billion bytes.
    tail_bytes: Annotated[int, whole_in("[2**12, 2**28]")] = 1 << 24
    compact_bytes: Annotated[int, whole_in("[1, inf)")] = 1 << 24
    allow_loss: bool = False
    allow_missing_tail: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        require(as_path("path", self.path).name != "", "path", self.path, "must name a file")
