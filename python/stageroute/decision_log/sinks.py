"""Where logged decisions go: a file of JSON lines, or a folder of parquet files."""

import contextlib
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from stageroute.checks import import_extra
from stageroute.decision_log.batch import REASONS_OF_BITS, STATUSES, DecisionBatch

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
        # Once: the process may go to another folder.
        self._path = Path(path).resolve()
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
        self._folder = Path(folder).resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._is_clean = False

    def __call__(self, batch: DecisionBatch, /) -> None:
        """Write a batch."""
        if not self._is_clean:
            # A process that died while it wrote a batch has left this behind. One that lives has
            # its journal locked, and so this is not reached before it has ended.
            for unfinished in self._folder.glob(".*.unfinished"):
                unfinished.unlink()
            self._is_clean = True
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
                "is_repeated": pa.array([batch.is_repeated] * len(batch)),
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
