"""Where logged decisions can go: files of JSON lines, folders of parquet files."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stageroute.checks import import_extra
from stageroute.decision_log.batch import REASONS_OF_BITS, STATUSES, DecisionBatch

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
        names = pa.array(batch.names)
        ends = np.append(columns["first_arm"], len(columns["live_arm"])).astype(np.int32)

        def each(values: object) -> object:
            return pa.ListArray.from_arrays(pa.array(ends), values)

        reasons = pa.array(REASONS_OF_BITS, pa.list_(pa.string()))
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
