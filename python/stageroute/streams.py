"""Streams of queries drawn from an outcome table, and when each model comes and goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import require
from stageroute.datasets import OutcomeTable
from stageroute.errors import InvalidInputError

__all__ = ["ARRIVAL_ORDERS", "STREAM_ORDERS", "Stream", "draw_stream", "even_arrivals"]

STREAM_ORDERS: Final = ("iid", "shuffled", "in_order")
ARRIVAL_ORDERS: Final = ("table", "shuffled")

NEVER: Final = np.iinfo(np.int64).max
"""Retirement time of a model that stays."""


@dataclass(frozen=True, eq=False, slots=True)
class Stream:
    """A sequence of queries and the lives of the models.

    Attributes
    ----------
    table : OutcomeTable
        Outcomes; its columns are in order of arrival.
    rows : ndarray of uint32, shape (T,)
        The table's row behind each query.
    arrivals, retirements : ndarray of int64, shape (N,)
        The query index from which each model can be deployed, ascending, and from which it no
        longer can be.
    """

    table: OutcomeTable
    rows: NDArray[np.uint32]
    arrivals: NDArray[np.int64]
    retirements: NDArray[np.int64]

    def __post_init__(self) -> None:
        models = self.table.num_models
        for argument, times in (("arrivals", self.arrivals), ("retirements", self.retirements)):
            require(times.shape == (models,), f"{argument}.shape", times.shape, "one per model")
        require(self.rows.size > 0, "rows.size", self.rows.size, "a stream needs a query")
        in_table = int(self.rows.max()) < self.table.num_rows
        require(in_table, "rows", int(self.rows.max()), "must be rows of the table")
        first = int(self.arrivals[0])
        require(first == 0, "arrivals[0]", first, "a model must be there at the start")
        ascending = bool(np.all(np.diff(self.arrivals) >= 0))
        require(ascending, "arrivals", self.arrivals, "must be ascending: columns arrive in order")
        require(
            bool(np.all(self.retirements > self.arrivals)),
            "retirements",
            self.retirements,
            "each must be after the model's arrival",
        )

    @property
    def num_queries(self) -> int:
        """T."""
        return self.rows.size

    def candidates(self, t: int) -> NDArray[np.intp]:
        """Return the models that have arrived and not retired at query `t`, ascending."""
        return np.flatnonzero((self.arrivals <= t) & (t < self.retirements))


def even_arrivals(num_models: int, num_initial: int, num_queries: int) -> NDArray[np.int64]:
    """Arrival times with `num_initial` models at the start and the others at even distances.

    Raises
    ------
    InvalidInputError
        If `num_initial` is not in [1, num_models].
    """
    require(
        1 <= num_initial <= num_models,
        "num_initial",
        num_initial,
        f"must be in [1, {num_models}], the number of models",
    )
    later = num_models - num_initial
    times = np.zeros(num_models, dtype=np.int64)
    times[num_initial:] = np.arange(1, later + 1) * num_queries // (later + 1)
    return times


def draw_stream(
    table: OutcomeTable,
    seed: int,
    *,
    num_queries: int | None = None,
    order: str = "iid",
    num_initial: int | None = None,
    arrival_order: str | Sequence[str] = "table",
    retirements: Mapping[str, int] | None = None,
) -> Stream:
    """Draw a stream from a table.

    Parameters
    ----------
    table : OutcomeTable
    seed : int
        Fixes the stream.
    num_queries : int, optional
        T; the table's number of rows by default.
    order : {"iid", "shuffled", "in_order"}
        Draws with replacement and the table's weights; every row once, in random order, over and
        over; or every row in the table's order, over and over. The last two refuse weights.
    num_initial : int, optional
        Models at the start; the others arrive evenly. All by default.
    arrival_order : {"table", "shuffled"} or sequence of str
        In the order of the columns, in a random one, or in the one given (every model, by name).
    retirements : dict of str to int, optional
        The query index at which a model retires, by name.

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule.
    """
    require(order in STREAM_ORDERS, "order", order, f"must be one of {STREAM_ORDERS}")
    if num_queries is None:
        num_queries = table.num_rows
    require(num_queries >= 1, "num_queries", num_queries, "must be at least 1")
    generator = np.random.default_rng(seed)
    rows = _draw_rows(table, num_queries, order, generator)
    arranged = table.select(_arrival_names(table, arrival_order, generator))
    initial = table.num_models if num_initial is None else num_initial
    stays = np.full(table.num_models, NEVER)
    for name, t in (retirements or {}).items():
        if name not in table.models:
            known = ", ".join(table.models)
            raise InvalidInputError(f"retirements names {name!r}; the table's models are {known}")
        stays[arranged.models.index(name)] = t
    return Stream(arranged, rows, even_arrivals(table.num_models, initial, num_queries), stays)


def _draw_rows(
    table: OutcomeTable, num_queries: int, order: str, generator: np.random.Generator
) -> NDArray[np.uint32]:
    if order == "iid":
        rows = generator.choice(table.num_rows, size=num_queries, p=table.weights)
        return rows.astype(np.uint32)
    if table.weights is not None:
        raise InvalidInputError(
            f"order = {order!r}: takes every row equally often, but the table has weights; "
            "use order='iid', or a table without weights"
        )
    rounds = -(-num_queries // table.num_rows)
    passes = [
        generator.permutation(table.num_rows) if order == "shuffled" else np.arange(table.num_rows)
        for _ in range(rounds)
    ]
    return np.concatenate(passes)[:num_queries].astype(np.uint32)


def _arrival_names(
    table: OutcomeTable, order: str | Sequence[str], generator: np.random.Generator
) -> list[str]:
    if not isinstance(order, str):
        names = list(order)
        if sorted(names) != sorted(table.models):
            raise InvalidInputError(
                f"arrival_order = {names!r}: must name each of the table's models once: "
                + ", ".join(table.models)
            )
        return names
    require(order in ARRIVAL_ORDERS, "arrival_order", order, f"must be one of {ARRIVAL_ORDERS}")
    names = list(table.models)
    if order == "shuffled":
        names = [names[k] for k in generator.permutation(len(names))]
    return names
