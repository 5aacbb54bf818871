"""Logs from files, as the sinks write them, joined with outcomes that came later."""

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from stageroute.decision_log.sinks import import_pyarrow
from stageroute.errors import DatasetError
from stageroute.off_policy.data import LoggedData, LoggedDraw, Outcome

__all__ = ["JoinedLog", "read_log"]

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
    known: dict[int, Outcome] = {}
    repeated = sum(_take(row, known, group) for row in [*more, *rows])
    ungrouped = sum(not outcome.group for outcome in known.values())
    if group is not None and ungrouped:
        raise DatasetError(f"group = {group!r}: {ungrouped:,} decisions have no such field")
    data = LoggedData.from_decisions(draws, known)
    unmatched = len(known.keys() - {draw.id for draw in draws})
    return JoinedLog(data, broken + more_broken, repeated, unmatched)


def _as_draw(row: Row, log: str | Path) -> LoggedDraw:
    try:
        return LoggedDraw(int(row["id"]), row["model"], row["models"], row["probabilities"])
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{log}: not a decision log: a decision has id, model, models and probabilities; "
            f"got {error!r} from one with {', '.join(map(str, row))}"
        ) from error


def _take(row: Row, known: dict[int, Outcome], group: str | None) -> int:
    """Add what a row says; return how many values were there already."""
    try:
        number = int(row["id"])
        reward, cost = _as_number(row.get("reward")), _as_number(row.get("cost"))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"outcome {dict(row)!r}: {error!r}; it needs an id and numbers"
        ) from error
    old = known.get(number, Outcome())
    label = "" if group is None else row.get(group)
    new = Outcome(
        reward=reward if math.isnan(old.reward) else old.reward,
        cost=cost if math.isnan(old.cost) else old.cost,
        group=old.group or ("" if label is None else str(label)),
    )
    if not math.isnan(new.reward) or not math.isnan(new.cost) or new.group:
        known[number] = new
    pairs = (old.reward, reward), (old.cost, cost)
    return sum(not math.isnan(before) and not math.isnan(now) for before, now in pairs)


def _as_number(value: object) -> float:
    return math.nan if value is None or value == "" else float(str(value))


def _read_rows(path: Path) -> tuple[list[Row], int]:
    """Return all rows, and the number of lines that could not be read."""
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file or folder")
    if path.is_dir() or path.suffix == ".parquet":
        return _read_parquet(path), 0
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file)), 0
    if path.suffix != ".jsonl":
        raise DatasetError(f"{path}: must be {FORMATS}")
    with path.open(encoding="utf-8") as lines:
        rows = [_as_json(line) for line in lines if line.strip()]
    whole = [row for row in rows if row is not None]
    return whole, len(rows) - len(whole)


def _as_json(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _read_parquet(path: Path) -> list[Row]:
    pa, pq = import_pyarrow()
    wanted = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    try:
        return [row for file in wanted for row in pq.read_table(file).to_pylist()]
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path}: not parquet that can be read: {error}") from error
