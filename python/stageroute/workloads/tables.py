"""Workloads drawn from a table of outcomes: the built-in set, or a file."""

from dataclasses import dataclass, field
from functools import cache

from stageroute.checks import is_text, require, require_one_of
from stageroute.datasets import OutcomeTable, read_table, routerbench_synthetic
from stageroute.datasets.streams import ARRIVAL_ORDERS, STREAM_ORDERS, Stream, draw_stream
from stageroute.workloads.base import NUM_INITIAL, Workload, check_draw, check_initial

__all__ = ["BuiltIn", "TableFile"]


@dataclass(frozen=True, kw_only=True)
class _FromTable(Workload):
    """What workloads over a table have in common: how `draw_stream` draws from it."""

    num_initial: int = NUM_INITIAL
    order: str = "iid"
    arrival_order: str | tuple[str, ...] = "table"
    retirements: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        check_initial(self.num_initial)
        require_one_of("order", self.order, STREAM_ORDERS)
        if isinstance(self.arrival_order, str):
            require_one_of("arrival_order", self.arrival_order, ARRIVAL_ORDERS)

    def stream(self, num_queries: int, seed: int) -> Stream:
        """Draw with `draw_stream`."""
        check_draw(num_queries, seed)
        table = self.table()
        return draw_stream(
            table,
            seed,
            num_queries=num_queries,
            order=self.order,
            num_initial=min(self.num_initial, table.num_models),
            arrival_order=self.arrival_order,
            retirements=dict(self.retirements),
        )


@dataclass(frozen=True, kw_only=True)
class BuiltIn(_FromTable):
    """The built-in set: 11 models, calibrated to RouterBench's published figures.

    What `stageroute bench` runs without a file, stream for stream.

    Parameters
    ----------
    num_initial : int, default 5
        Models at the start; the others arrive evenly.
    order, arrival_order
        Of the queries and of the models; see `draw_stream`.
    retirements : tuple of (str, int)
        Which model retires at which query.
    """

    kind: str = field(default="builtin", init=False)

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return "built-in"

    def table(self) -> OutcomeTable:
        """Return the built-in set."""
        return _built_in()


@dataclass(frozen=True)
class TableFile(_FromTable):
    """A table of outcomes in a file: real ones, for instance.

    Parameters
    ----------
    path : str
        Parquet, CSV or NPZ; see `read_table`.
    weights : str, optional
        A file with the weight of each query.
    models : tuple of str, optional
        Only these, in this order.
    drop_missing : bool, default False
        Leave out rows in which one of these models has no outcome.
    num_initial, order, arrival_order, retirements
        As in `BuiltIn`.
    """

    path: str
    weights: str | None = None
    models: tuple[str, ...] | None = None
    drop_missing: bool = False
    kind: str = field(default="file", init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(is_text(self.path), "path", self.path, "must name a file")

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return self.table().name

    def table(self) -> OutcomeTable:
        """Return what the file holds.

        Raises
        ------
        DatasetError
            If it holds no valid table.
        """
        return _read(self.path, self.weights, self.models, self.drop_missing)


@cache
def _built_in() -> OutcomeTable:
    return routerbench_synthetic()


@cache
def _read(
    path: str,
    weights: str | None,
    models: tuple[str, ...] | None,
    drop_missing: bool,  # noqa: FBT001
) -> OutcomeTable:
    return read_table(path, weights=weights, models=models, drop_missing=drop_missing)
