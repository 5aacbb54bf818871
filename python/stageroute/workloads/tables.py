"""Workloads drawn from a table of outcomes: the built-in set, or a file."""

from dataclasses import dataclass, field
from functools import cache
from typing import Annotated

from stageroute.checks import is_text, must, one_of, require_one_of
from stageroute.datasets import OutcomeTable, read_table, routerbench_synthetic
from stageroute.datasets.streams import ARRIVAL_ORDERS, STREAM_ORDERS, Stream, draw_stream
from stageroute.workloads.base import NUM_INITIAL, Count, Workload, check_draw


@dataclass(frozen=True, kw_only=True)
class _FromTable(Workload):
    """What workloads over a table have in common: how `draw_stream` draws from it.

    Parameters
    ----------
    models : tuple of str, optional
        Only these, in this order.
    num_initial : int, default 5
        Models at the start; the others arrive evenly.
    order : {"iid", "shuffled", "in_order"}
        Of the queries: drawn with the table's weights; every row once, at random; or as they are.
    arrival_order : {"table", "shuffled"} or tuple of str
        Of the models.
    retirements : tuple of (str, int)
        Which model can no longer be deployed from which query on.
    """

    models: tuple[str, ...] | None = None
    num_initial: Count = NUM_INITIAL
    order: Annotated[str, one_of(STREAM_ORDERS)] = "iid"
    arrival_order: str | tuple[str, ...] = "table"
    retirements: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
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

    What `stageroute bench` runs without a file, stream for stream. See `_FromTable` for parameters.
    """

    label = "built-in"
    kind: str = field(default="builtin", init=False)

    def table(self) -> OutcomeTable:
        """Return the built-in set."""
        return _built_in(self.models)


@dataclass(frozen=True)
class TableFile(_FromTable):
    """A table of outcomes in a file: real ones, for instance.

    Parameters
    ----------
    path : str
        Parquet, CSV, NPZ, or the RouterBench pickle; see `read_table`.
    weights : str, optional
        A file with the weight of each query: query_id, weight (parquet, CSV).
    name : str, optional
        How reports call the table; as the file by default.
    drop_missing : bool, default False
        Leave out rows in which one of the models has no outcome.
    allow_pickle : bool, default False
        Read the RouterBench pickle, whose checksum is verified first.
    """

    path: Annotated[str, must(is_text, "must name a file")]
    weights: str | None = None
    name: str | None = None
    drop_missing: bool = False
    allow_pickle: bool = False
    kind: str = field(default="file", init=False)

    @property
    def label(self) -> str:
        """A few words, for tables of results."""
        return self.table().name

    def table(self) -> OutcomeTable:
        """Return what the file holds; see `read_table`."""
        return _read(self)


@cache
def _built_in(models: tuple[str, ...] | None) -> OutcomeTable:
    table = routerbench_synthetic()
    return table if models is None else table.select(models)


@cache
def _read(file: TableFile) -> OutcomeTable:
    return read_table(
        file.path,
        weights=file.weights,
        models=file.models,
        drop_missing=file.drop_missing,
        allow_pickle=file.allow_pickle,
        name=file.name,
    )
