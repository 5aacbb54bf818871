"""The decision log: every decision with its grounds, written out by a thread of its own.

The router keeps decisions in a bounded buffer; this thread takes them away, a batch at a time, and
hands them to a sink. A slow sink costs dropped decisions, which are counted, and never a query's
time. With the probability of every live model in it, a log is fit for off-policy evaluation.
"""

import json
import logging
import math
import threading
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from stageroute.checks import is_number, is_whole, require
from stageroute.errors import MissingExtraError

if TYPE_CHECKING:
    from stageroute import _core
    from stageroute.router_fleet import RouterFleet

__all__ = ["DecisionLog", "JsonLinesSink", "LoggedDecision", "ParquetSink"]

logger = logging.getLogger("stageroute")

REASONS: Final = ("excluded", "traffic_limit", "cooling", "hard_limit", "probe")
"""Names of the bits of a decision's reasons, lowest first, as in the core."""


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One decision with its grounds.

    Attributes
    ----------
    id : int
    time : float
        Seconds since 1970.
    stage : int
    model : str
        The model chosen.
    probability : float
        With which it was drawn.
    status : {"optimal", "throttled", "budget_infeasible", "cap_infeasible"}
        Of the LP behind it; see `RouterCounters`.
    reasons : tuple of str
        See `Decision.reasons`.
    budget_price : float
        Dual price of the budget, reward per USD; infinite when it could not be met.
    paced_budget : float
        The LP's budget, USD per query.
    models : tuple of str
        The live models.
    probabilities, reward_ucb, cost_lcb : tuple of float
        Of each live model: its probability (0 where it was left out) and its optimistic estimates.
    """

    id: int
    time: float
    stage: int
    model: str
    probability: float
    status: str
    reasons: tuple[str, ...]
    budget_price: float
    paced_budget: float
    models: tuple[str, ...]
    probabilities: tuple[float, ...]
    reward_ucb: tuple[float, ...]
    cost_lcb: tuple[float, ...]


class Sink(Protocol):
    """Where batches of decisions go."""

    def __call__(self, decisions: Sequence[LoggedDecision], /) -> object:
        """Take a batch, in the order in which the decisions were made."""


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

    def __call__(self, decisions: Sequence[LoggedDecision], /) -> None:
        """Append a batch."""
        with self._path.open("a", encoding="utf-8") as file:
            for decision in decisions:
                row = asdict(decision)
                if not math.isfinite(decision.budget_price):
                    row["budget_price"] = None
                file.write(json.dumps(row, allow_nan=False) + "\n")


class ParquetSink:
    """Writes each batch to a parquet file of its own in a folder, named by the batch's first id.

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
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise MissingExtraError(
                "a parquet log needs pyarrow: pip install 'stageroute[parquet]'"
            ) from error
        self._arrow, self._parquet = pa, pq
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, decisions: Sequence[LoggedDecision], /) -> None:
        """Write a batch."""
        rows = [asdict(decision) for decision in decisions]
        table = self._arrow.Table.from_pylist(
            [row | {name: list(row[name]) for name in LISTS} for row in rows]
        )
        self._parquet.write_table(table, self._folder / f"{decisions[0].id:015d}.parquet")


LISTS: Final = ("reasons", "models", "probabilities", "reward_ucb", "cost_lcb")
"""Fields with more than one value."""


class DecisionLog:
    """What is logged, and where it goes.

    Parameters
    ----------
    sink : path-like or callable
        A file ending in ``.jsonl``, a folder for parquet files, or whatever takes a list of
        `LoggedDecision`; it is called from the log's thread and may be as slow as it must.
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
        self.capacity = capacity
        self._sink = _as_sink(sink)
        self._seconds = seconds
        self._stopped = threading.Event()
        # One batch at a time: the thread's, or that of a flush.
        self._draining = threading.Lock()
        self._dropped = 0
        self._router: weakref.ref[RouterFleet] | None = None
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Decisions that were not logged, because the buffer was full or the sink failed."""
        return self._dropped

    def attach(self, router: "RouterFleet") -> None:
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

    def _drain(self, router: "RouterFleet") -> None:
        with self._draining:
            columns = router._drain_log()  # noqa: SLF001  # the native half's only reader
            self._dropped += columns["dropped"]
            decisions = _rows(columns, [model.name for model in router.models])
            if not decisions:
                return
            try:
                self._sink(decisions)
            except Exception as error:  # noqa: BLE001  # whatever the user's sink raises
                self._dropped += len(decisions)
                logger.warning("the decision log lost %d decisions: %r", len(decisions), error)


def _as_sink(sink: str | Path | Sink) -> Sink:
    if isinstance(sink, str | Path):
        return JsonLinesSink(sink) if Path(sink).suffix == ".jsonl" else ParquetSink(sink)
    require(callable(sink), "sink", sink, "must be a path or callable")
    return sink


def _rows(columns: "_core.CoreLog", names: Sequence[str]) -> list[LoggedDecision]:
    starts = [*columns["first_arm"].tolist(), len(columns["live_arm"])]
    live_models = [names[arm] for arm in columns["live_arm"].tolist()]
    probabilities = columns["live_probability"].tolist()
    reward_ucb, cost_lcb = columns["live_reward_ucb"].tolist(), columns["live_cost_lcb"].tolist()
    each = zip(
        columns["id"].tolist(),
        columns["time"].tolist(),
        columns["stage"].tolist(),
        columns["arm"].tolist(),
        columns["probability"].tolist(),
        columns["status"],
        columns["reasons"].tolist(),
        columns["budget_price"].tolist(),
        columns["paced_budget"].tolist(),
        pairwise(starts),
        strict=True,
    )
    return [
        LoggedDecision(
            id=number,
            time=time,
            stage=stage,
            model=names[arm],
            probability=probability,
            status=status,
            reasons=tuple(name for bit, name in enumerate(REASONS) if bits >> bit & 1),
            budget_price=price,
            paced_budget=budget,
            models=tuple(live_models[start:end]),
            probabilities=tuple(probabilities[start:end]),
            reward_ucb=tuple(reward_ucb[start:end]),
            cost_lcb=tuple(cost_lcb[start:end]),
        )
        for number, time, stage, arm, probability, status, bits, price, budget, (start, end) in each
    ]
