"""Logs from files, as the sinks write them, joined with outcomes that came later."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from stageroute.checks import import_extra
from stageroute.errors import DatasetError
from stageroute.off_policy.data import LoggedData, LoggedDraw, Outcome

Row = Mapping[str, Any]

FORMATS: Final = ".jsonl, .csv, .parquet, or a folder of .parquet files"


@dataclass(frozen=True, eq=False, slots=True)
class JoinedLog:
    """A log with its outcomes.

    Attributes
    ----------
    data : LoggedData
    broken_lines : int
        Lines that are not JSON, such as the half line that a killed process leaves; passed over.
    repeated : int
        Rewards and costs of decisions that had one already; the first stands, as in the router.
    unmatched : int
        Ids with an outcome but no decision in the log.
    """

    data: LoggedData
    broken_lines: int
    repeated: int
    unmatched: int


def read_log(
    log: str | Path, outcomes: str | Path | None = None, *, group: str | None = None
) -> JoinedLog:
    """Read the decision log of one router and join it with outcomes by decision id.

    Parameters
    ----------
    log : path-like
        What a sink wrote: a ``.jsonl`` file or a folder of parquet files (or one of these).
    outcomes : path-like, optional
        A ``.jsonl``, ``.csv`` or ``.parquet`` file with the field ``id`` and ``reward`` (in
        [0, 1]), ``cost`` (USD) or both; an id may have several rows, such as one with its cost and
        a later one with its reward. Missing and null values are not known. The log itself may have
        these fields instead.
    group : str, optional
        The field, of the outcomes or the log, that holds the decision's group.

    Raises
    ------
    DatasetError
        If a file cannot be read as such, has no decision or an id twice, or a value is bad.
    MissingExtraError
        If a parquet file is read without pyarrow.
    """
    rows, broken = _read_rows(Path(log))
    more, more_broken = ([], 0) if outcomes is None else _read_rows(Path(outcomes))
    draws = sorted((_as_draw(row, log) for row in rows), key=lambda draw: draw.id)
    if not draws:
        raise DatasetError(f"{log}: holds no decision")
    for before, after in pairwise(draws):
        if before.id == after.id:
            raise DatasetError(
                f"{log}: decision {after.id} is there twice; a router that was started anew "
                "without a journal counts from 0 again: evaluate the log of each apart"
            )
    known: dict[int, dict[str, Any]] = {}
    repeated = 0
    for row in [*more, *rows]:
        number, told = _told(row, group)
        earlier = known.get(number, {})
        repeated += len(earlier.keys() & told.keys() - {"group"})
        if told:
            known[number] = told | earlier
    ungrouped = sum("group" not in fields for fields in known.values())
    if group is not None and ungrouped:
        raise DatasetError(f"group = {group!r}: {ungrouped:,} decisions have no such field")
    unmatched = len(known.keys() - {draw.id for draw in draws})
    found = {number: Outcome(**fields) for number, fields in known.items()}
    data = LoggedData.from_decisions(draws, found)
    return JoinedLog(data, broken + more_broken, repeated, unmatched)


def _as_draw(row: Row, log: str | Path) -> LoggedDraw:
    try:
        return LoggedDraw(int(row["id"]), row["model"], row["models"], row["probabilities"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{log}: not a decision log: a decision has id, model, models and probabilities; "
            f"got {error!r} from one with {', '.join(map(str, row))}"
        ) from error


def _told(row: Row, group: str | None) -> tuple[int, dict[str, Any]]:
    """Return the id of a decision and what a row says of it, as fields of `Outcome`."""
    try:
        number, numbers = int(row["id"]), {}
        for field in ("reward", "cost"):
            value = row.get(field)
            if value is not None and value != "":
                numbers[field] = float(str(value))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"outcome {dict(row)!r}: {error!r}; it needs an id and numbers"
        ) from error
    told: dict[str, Any] = {field: x for field, x in numbers.items() if not math.isnan(x)}
    label = None if group is None else row.get(group)
    if label is not None and label != "":
        told["group"] = str(label)
    return number, told


def _read_rows(path: Path) -> tuple[list[Row], int]:
    """Return all rows, and the number of lines that could not be read."""
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file or folder")
    if path.is_dir() or path.suffix == ".parquet":
        pa = import_extra("pyarrow", "a parquet log", "parquet")
        pq = import_extra("pyarrow.parquet", "a parquet log", "parquet")
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        try:
            return [row for file in files for row in pq.read_table(file).to_pylist()], 0
        except (OSError, pa.ArrowException) as error:
            raise DatasetError(f"{path}: not parquet that can be read: {error}") from error
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file)), 0
    if path.suffix != ".jsonl":
        raise DatasetError(f"{path}: must be {FORMATS}")
    rows: list[Row] = []
    broken = 0
    with path.open(encoding="utf-8") as lines:
        for line in filter(str.strip, lines):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if isinstance(row, dict):
                rows.append(row)
            else:
                broken += 1
    return rows, broken
