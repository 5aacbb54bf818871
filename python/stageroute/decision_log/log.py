"""The decision log: every decision with its grounds, written out by a thread of its own.

The router keeps decisions in a bounded buffer; this thread takes them away, a batch at a time, and
hands them to a sink. A slow sink costs dropped decisions, which are counted, and never a query's
time. With the probability of every live model in it, a log is fit for off-policy evaluation.
"""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stageroute.checks import as_path, import_extra, number_in, require, whole_in
from stageroute.config.models import Model
from stageroute.decision_log.batch import REASONS_OF_BITS, STATUSES, DecisionBatch

if TYPE_CHECKING:
    from stageroute._core import Control

logger = logging.getLogger("stageroute")

Sink = Callable[[DecisionBatch], object]
"""Takes batches of decisions, in the order in which they were made."""


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
            columns = router._control.drain_log()  # noqa: SLF001  # its only reader
            self._dropped += columns["dropped"]
            batch = DecisionBatch(columns, [model.name for model in router.models])
            if not len(batch):
                return
            self._is_draining = True
            try:
                self._sink(batch)
            except Exception as error:  # noqa: BLE001  # the user's sink may raise anything
                self._dropped += len(batch)
                logger.warning("the decision log lost %d decisions: %r", len(batch), error)
            finally:
                self._is_draining = False

    def close(self) -> None:
        """Flush, and log no further."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self.flush()
