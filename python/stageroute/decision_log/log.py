"""The decision log: every decision with its grounds, written out by a thread of its own.

The router keeps decisions in a bounded buffer; this thread takes them away, a batch at a time, and
hands them to a sink. A slow sink costs dropped decisions, which are counted, and never a query's
time. With the probability of every live model in it, a log is fit for off-policy evaluation.
"""

import contextlib
import json
import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from stageroute.checks import as_path, import_extra, number_in, require, whole_in
from stageroute.config.models import Model
from stageroute.decision_log.batch import REASONS_OF_BITS, STATUSES, DecisionBatch
from stageroute.decision_log.missing import MissingDecisions, drain

if TYPE_CHECKING:
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
        self._path = Path(path)
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
        self._folder = Path(folder)
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
        self._stopped = threading.Event()
        self._missing: list[DecisionBatch] = []
        self._progress = threading.Condition()
        self._asked = self._served = 0
        # One batch at a time: the thread's, or that of a flush. Taken again by a sink that flushes.
        self._draining = threading.RLock()
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
        self._missing = missing.batches

    def attach(self, router: "LoggedRouter") -> None:
        """Begin to log a router's decisions; called by the router, once."""
        rule = "this log belongs to another router: make one for each"
        require(self._router is None, "decision_log", self, rule)
        self._router = weakref.ref(router, lambda _: self._stopped.set())
        self._thread = threading.Thread(target=self._run, name="stageroute-log", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Hand everything that was decided so far to the sink."""
        router = None if self._router is None else self._router()
        with self._draining:
            if router is None or self._is_draining:
                return
            names = [model.name for model in router.models]
            batch, dropped = drain(router._control, names)  # noqa: SLF001  # its only reader
            self._dropped += dropped
            missing, self._missing = self._missing, []
            self._is_draining = True
            try:
                for part in (*missing, batch):
                    self._write(part)
            finally:
                self._is_draining = False

    def _write(self, batch: DecisionBatch) -> None:
        if not len(batch):
            return
        try:
            self._sink(batch)
        except Exception as error:  # noqa: BLE001  # the user's sink may raise anything
            self._dropped += len(batch)
            logger.warning("the decision log lost %d decisions: %r", len(batch), error)

    def catch_up(self, seconds: float) -> None:
        """Have the thread write all that was decided so far; wait for it, but no longer."""
        with self._progress:
            self._asked += 1
            mine = self._asked
            self._progress.notify_all()
            if self._thread is not None and not self._stopped.is_set():
                self._progress.wait_for(lambda: self._served >= mine, seconds)

    def close(self) -> None:
        """Flush, and log no further."""
        self._stopped.set()
        with self._progress:
            self._progress.notify_all()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._progress:
                is_asked = self._progress.wait_for(self._is_called, self._seconds)
                asked = self._asked
            if is_asked and self._stopped.is_set():
                break
            self.flush()
            with self._progress:
                self._served = asked
                self._progress.notify_all()

    def _is_called(self) -> bool:
        return self._stopped.is_set() or self._asked > self._served
