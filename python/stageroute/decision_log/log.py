"""The decision log: every decision with its grounds, written out by a thread of its own.

The router keeps decisions in a bounded buffer; this thread takes them away, a batch at a time, and
hands them to a sink. A slow sink costs dropped decisions, which are counted, and never a query's
time. With the probability of every live model in it, a log is fit for off-policy evaluation.
"""

import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from stageroute._core import Birth, Signal
from stageroute.checks import as_path, number_in, require, whole_in
from stageroute.config.models import Model
from stageroute.decision_log.missing import MissingDecisions, drain
from stageroute.decision_log.sinks import JsonLinesSink, ParquetSink, Sink
from stageroute.threads import finish_at_exit, is_this, join, make_lock, start_thread

if TYPE_CHECKING:
    import threading

    from stageroute._core import Control
    from stageroute.decision_log.batch import DecisionBatch

logger = logging.getLogger("stageroute")

LONGEST_END: Final = 10.0
"""Seconds that the end of a process waits for a sink, at most."""


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
        finish_at_exit(self)

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
                control = router._control  # noqa: SLF001  # its only reader
                batch, dropped = drain(control, names)
                self._batches.append(batch)
                control.forget_log()
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

    def catch_up(self, seconds: float) -> bool:
        """Have the thread write all that was decided so far; False if that takes longer."""
        self._birth.check()
        # Held until then, or the thread would end.
        router = None if self._router is None else self._router()
        if router is None or self._is_stopped:
            return True
        self._caught_up = done = Signal()
        self._signal.raise_()
        return done.wait(seconds)

    def finish(self) -> None:
        """Have all written as the process ends, unless the sink hangs."""
        if not self.catch_up(LONGEST_END):
            raise TimeoutError(f"its sink has not returned for {LONGEST_END} s")

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
