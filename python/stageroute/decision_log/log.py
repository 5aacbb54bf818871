"""The decision log: every decision with its grounds, written out by a thread of its own.

The router keeps decisions in a bounded buffer; this thread takes them away, a batch at a time, and
hands them to a sink. A slow sink costs dropped decisions, which are counted, and never a query's
time. With the probability of every live model in it, a log is fit for off-policy evaluation.
"""

import logging
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stageroute.checks import is_number, is_whole, require
from stageroute.config.models import Model
from stageroute.decision_log.batch import DecisionBatch
from stageroute.decision_log.sinks import JsonLinesSink, ParquetSink, Sink

if TYPE_CHECKING:
    from stageroute._core import Control

logger = logging.getLogger("stageroute")


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
        Decisions that the router keeps until they are taken away, in [1, 2**24]; more are dropped
        and counted.
    seconds : float, default 0.2
        Time between two batches, above 0.
    """

    def __init__(
        self, sink: str | Path | Sink, *, capacity: int = 65_536, seconds: float = 0.2
    ) -> None:
        ok = is_whole(capacity) and 1 <= capacity <= 2**24
        require(ok, "capacity", capacity, "must be a whole number of decisions in [1, 2**24]")
        ok = is_number(seconds) and seconds > 0.0
        require(ok, "seconds", seconds, "must be finite and above 0")
        if isinstance(sink, str | Path):
            sink = JsonLinesSink(sink) if Path(sink).suffix == ".jsonl" else ParquetSink(sink)
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
        """Begin to log a router's decisions; called by the router, once.

        Raises
        ------
        InvalidInputError
            If the log belongs to another router.
        """
        rule = "this log belongs to another router: make one for each"
        require(self._router is None, "decision_log", self, rule)
        self._router = weakref.ref(router, lambda _: self._stopped.set())
        self._thread = threading.Thread(target=self._run, name="stageroute-log", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Hand everything that was decided so far to the sink."""
        router = None if self._router is None else self._router()
        if router is not None:
            self._drain(router)

    def close(self) -> None:
        """Flush, and log no further."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self.flush()

    def _drain(self, router: "LoggedRouter") -> None:
        with self._draining:
            if self._is_draining:
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
