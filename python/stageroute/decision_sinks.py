"""Where logged decisions can go: files of JSON lines, folders of parquet files."""

from pathlib import Path
from typing import Protocol

import numpy as np

from stageroute.decision_batch import REASONS, STATUSES, DecisionBatch
from stageroute.errors import MissingExtraError

__all__ = ["JsonLinesSink", "ParquetSink", "Sink"]


class Sink(Protocol):
    """Takes batches of decisions."""

    def __call__(self, batch: DecisionBatch, /) -> object:
        """Take a batch, in the order in which its decisions were made."""


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
        with self._path.open("ab") as file:
            file.write(batch.to_json_lines())


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

    def __call__(self, batch: DecisionBatch, /) -> None:
        """Write a batch."""
        pa, columns = self._arrow, batch.columns
        names = pa.array(batch.names)
        ends = np.append(columns["first_arm"], len(columns["live_arm"])).astype(np.int32)

        def each(values: object) -> object:
            return pa.ListArray.from_arrays(pa.array(ends), values)

        sets = pa.array(
            [
                [name for bit, name in enumerate(REASONS) if bits >> bit & 1]
                for bits in range(2 ** len(REASONS))
            ],
            pa.list_(pa.string()),
        )
        table = pa.table(
            {
                "id": columns["id"],
                "time": columns["time"],
                "stage": columns["stage"],
                "model": names.take(pa.array(columns["arm"])),
                "probability": columns["probability"],
                "status": pa.array(STATUSES).take(pa.array(columns["status"])),
                "reasons": sets.take(pa.array(columns["reasons"])),
                "budget_price": columns["budget_price"],
                "paced_budget": columns["paced_budget"],
                "models": each(names.take(pa.array(columns["live_arm"]))),
                "probabilities": each(pa.array(columns["live_probability"])),
                "reward_ucb": each(pa.array(columns["live_reward_ucb"])),
                "cost_lcb": each(pa.array(columns["live_cost_lcb"])),
            }
        )
        self._parquet.write_table(table, self._folder / f"{int(columns['id'][0]):015d}.parquet")
