"""The decision log: every decision with its grounds, written out by a thread of its own.

The router keeps decisions in a bounded buffer; this thread takes them away, a batch at a time, and
hands them to a sink. A slow sink costs dropped decisions, which are counted, and never a query's
time. With the probability of every live model in it, a log is fit for off-policy evaluation.
"""

import contextlib
import json
import logging
import os
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from stageroute._core import Birth, Signal
from stageroute.checks import as_path, import_extra, number_in, require, whole_in
from stageroute.config.models import Model
from stageroute.decision_log.batch import REASONS_OF_BITS, STATUSES, DecisionBatch
from stageroute.decision_log.missing import MissingDecisions, drain
from stageroute.threads import flush_at_exit, is_this, join, make_lock, start_thread

if TYPE_CHECKING:
    import threading

    from stageroute._core import Control

logger = logging.getLogger("stageroute")

Sink = Callable[[DecisionBatch], object]
"""Takes batches of decisions, in the order in which they were made.

Where it has a method ``last_logged`` too, which returns (id, time) of the last decision that it has
or None, it is given those that a kill has kept from it when the router goes on from its journal.
"""

TAIL_BYTES: Final = 1 << 22
"""So much of the end of a file is searched for the last decision in it."""


class JsonLinesSink:
    """Appends decisions to a file, one JSON object a line; an infinite price is null.

    Parameters
    ----------
    path : path-like
        The file; created where it is missing.
    """

    def __init__(self, path: str | Path) -> None:
        # Once: the process may go to another folder.
        self._path = Path(path).resolve()
        self._path.touch()

    def __call__(self, batch: DecisionBatch, /) -> None:
        """Append a batch."""
        lines = batch.to_json_lines()
        with self._path.open("a+b") as file:
            # A process that was killed, or a full disk, may have left half a line.
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    lines = b"\n" + lines
            file.write(lines)

    def last_logged(self) -> tuple[int, float] | None:
        """Return id and time of the last decision in the file; a half line is none."""
        with self._path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().splitlines()
        for line in reversed(lines):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                row = json.loads(line)
                return row["id"], row["time"]
        return None


class ParquetSink:
    """Writes each batch to a parquet file of its own in a folder, named by the batch's first id.

    A file gets its name when it is whole, and none that is there is replaced: where a router that
    was started anew gives the same ids again, a number follows.

    Parameters
    ----------
    folder : path-like
        Created where it is missing.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        self._arrow = import_extra("pyarrow", "a parquet log", "parquet")
        self._parquet = import_extra("pyarrow.parquet", "a parquet log", "parquet")
        self._folder = Path(folder).resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        # A process that died while it wrote a batch has left this behind.
        for unfinished in self._folder.glob(".*.unfinished"):
            unfinished.unlink()

    def __call__(self, batch: DecisionBatch, /) -> None:
        """Write a batch."""
        pa, columns = self._arrow, batch.columns
        names, reasons = pa.array(batch.names), pa.array(REASONS_OF_BITS, pa.list_(pa.string()))
        ends = np.append(columns["first_arm"], len(columns["live_arm"])).astype(np.int32)
        each = partial(pa.ListArray.from_arrays, pa.array(ends))
        table = pa.table(
            {
                "id": columns["id"],
                "time": columns["time"],
                "stage": columns["stage"],
                "model": names.take(pa.array(columns["arm"])),
                "probability": columns["probability"],
                "status": pa.array(STATUSES).take(pa.array(columns["status"])),
                "reasons": reasons.take(pa.array(columns["reasons"])),
                "budget_price": columns["budget_price"],
                "paced_budget": columns["paced_budget"],
                "models": each(names.take(pa.array(columns["live_arm"]))),
                "probabilities": each(pa.array(columns["live_probability"])),
                "reward_ucb": each(pa.array(columns["live_reward_ucb"])),
                "cost_lcb": each(pa.array(columns["live_cost_lcb"])),
            }
        )
        first = f"{int(columns['id'][0]):015d}"
        # Readers of a folder leave out what begins with a dot.
        unfinished = self._folder / f".{first}.unfinished"
        self._parquet.write_table(table, unfinished)
        path, again = self._folder / f"{first}.parquet", 0
        while path.exists():
            again += 1
            path = self._folder / f"{first}-{again}.parquet"
        unfinished.rename(path)

    def last_logged(self) -> tuple[int, float] | None:
        """Return id and time of the last decision in the newest file."""
        files = sorted(self._folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
        if not files:
            return None
        rows = self._parquet.read_table(files[-1], columns=["id", "time"]).to_pylist()
        return (rows[-1]["id"], rows[-1]["time"]) if rows else None


class LoggedRouter(Protocol):
    """What a log needs of its router."""

    @property
    def models(self) -> Sequence[Model]:
        """The models by arm."""

    @property
    def _control(self) -> "Control":
        """What takes the log away."""


class DecisionLog:
    """What is logged, and where it goes.

    Parameters
    ----------
    sink : path-like or callable
        A file ending in ``.jsonl``, a folder for parquet files, or a function of a
        `DecisionBatch`; it is called from the log's thread and may be slow.
    capacity : int, default 65536
        Decisions that the router keeps until they are taken away, in [1, 2**24]; fewer where more
        than 16 models are live. Others are dropped and counted.
    seconds : float, default 0.2
        Time between two batches, above 0.
    """

    def __init__(
        self, sink: str | Path | Sink, *, capacity: int = 65_536, seconds: float = 0.2
    ) -> None:
        whole_in("[1, 2**24]")("capacity", capacity)
        number_in("(0, inf)")("seconds", seconds)
        if isinstance(sink, str | Path):
            path = as_path("sink", sink)
            sink = JsonLinesSink(path) if path.suffix == ".jsonl" else ParquetSink(path)
        require(callable(sink), "sink", sink, "must be a path or callable")
        self.capacity = capacity
        self._sink = sink
        self._seconds = seconds
        # What was taken from the router, or is missing, and not handed over yet.
        self._batches: list[DecisionBatch] = []
        self._birth = Birth()
        self._is_stopped = False
        self._signal = Signal()
        self._caught_up: Signal | None = None
        # One batch at a time: the thread's, or that of a flush. Taken again by a sink that flushes.
        self._draining = make_lock()
        self._is_draining = False
        self._dropped = 0
        self._router: weakref.ref[LoggedRouter] | None = None
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Decisions that were not logged, because the buffer was full or the sink failed."""
        return self._dropped

    def missing(self) -> MissingDecisions:
        """Return what collects the repeated decisions that the sink does not have."""
        return MissingDecisions(self._sink, self.capacity)

    def write_missing(self, missing: MissingDecisions) -> None:
        """Have these decisions written before all others."""
        self._batches += missing.batches

    def attach(self, router: "LoggedRouter") -> None:
        """Begin to log a router's decisions; called by the router, once."""
        rule = "this log belongs to another router: make one for each"
        require(self._router is None, "decision_log", self, rule)
        signal = self._signal

        def wake(_: object) -> None:
            signal.raise_()

        self._router = weakref.ref(router, wake)
        # The thread keeps neither alive: a sink may lead back to the router.
        log = weakref.ref(self, wake)
        self._thread = start_thread("stageroute-log", _run, log, signal, self._seconds)
        flush_at_exit(self)

    def flush(self) -> None:
        """Hand everything that was decided so far to the sink."""
        self._birth.check()
        router = None if self._router is None else self._router()
        if router is not None:
            self.drain(router)

    def drain(self, router: "LoggedRouter") -> None:
        """Hand over what its router has decided so far, unless this very thread is about it."""
        with self._draining:
            if self._is_draining:
                return
            try:
                self._is_draining = True
                names = [model.name for model in router.models]
                batch, dropped = drain(router._control, names)  # noqa: SLF001  # its only reader
                self._batches.append(batch)
                self._dropped += dropped
                while self._batches:
                    self._write_first()
            finally:
                self._is_draining = False

    def _write_first(self) -> None:
        """Hand the first batch over; what the sink refuses is counted."""
        batch = self._batches[0]
        try:
            if len(batch):
                self._sink(batch)
        except BaseException as error:
            self._dropped += len(batch)
            logger.warning("the decision log lost %d decisions: %r", len(batch), error)
            # The user's sink may raise anything. `SystemExit` and the like are for a caller of
            # `flush`, and not for the thread.
            if not isinstance(error, Exception) and not is_this(self._thread):
                raise
        finally:
            del self._batches[0]

    def catch_up(self, seconds: float) -> None:
        """Have the thread write all that was decided so far; wait for it, but no longer."""
        if self._thread is not None and not self._is_stopped:
            self._caught_up = done = Signal()
            self._signal.raise_()
            done.wait(seconds)

    def close(self) -> None:
        """Flush, and log no further; nothing in a fork of the process that made the log."""
        if self._birth.is_inherited:
            return
        self._is_stopped = True
        self._signal.raise_()
        join(self._thread)
        self.flush()

    def work(self) -> bool:
        """Do what the thread is there for, once; False if there is nothing to log any more."""
        if self._is_stopped or self._router is None or self._router() is None:
            return False
        caught_up, self._caught_up = self._caught_up, None
        self.flush()
        if caught_up is not None:
            caught_up.raise_()
        return True


def _run(log_of: "weakref.ref[DecisionLog]", signal: Signal, seconds: float) -> None:
    while True:
        signal.wait(seconds)
        log = log_of()
        if log is None or not log.work():
            return
        del log
