"""Logs from files, as the sinks write them, joined with outcomes that came later."""

import json
import math
from codecs import BOM_UTF8 as BOM
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from stageroute.checks import as_path, import_extra, is_text, shown
from stageroute.datasets.cells import decode, number, read_bytes, read_csv_rows, whole
from stageroute.datasets.formats import check_header, limited_batches
from stageroute.datasets.table import MAX_LABEL_CHARS
from stageroute.errors import DatasetError
from stageroute.off_policy.data import SUM_TOLERANCE, LoggedData, LoggedDraw, Outcome

Row = Mapping[str, Any]

NUMBERS: Final = ("id", "reward", "cost")

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
        a later one with its reward. Missing values (empty, null, ``NA``) are not known; a reward
        may be true or false. The log itself may have these fields instead.
    group : str, optional
        The field, of the outcomes or the log, that holds the decision's group.

    Raises
    ------
    DatasetError
        If a file cannot be read as such, has no decision or an id twice, or a value is bad.
    MissingExtraError
        If a parquet file is read without pyarrow.
    """
    log = as_path("log", log)
    rows, broken = _read_rows(log)
    more, more_broken = ([], 0) if outcomes is None else _read_rows(as_path("outcomes", outcomes))
    rows = _once(rows)
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


def _once(rows: list[Row]) -> list[Row]:
    """Leave out decisions that a router has logged again when it went on from its journal.

    They are the same to the last bit, time included, but for the mark of the later ones.
    """
    seen: dict[str, list[Row]] = {}
    kept: list[Row] = []
    for marked in rows:
        row: Row = {name: value for name, value in marked.items() if name != "is_repeated"}
        same = seen.setdefault(repr(row.get("id")), [])
        if row.get("time") is None or row not in same:
            same.append(row)
            kept.append(row)
    return kept


def _as_draw(row: Row, log: Path) -> LoggedDraw:
    try:
        draw = LoggedDraw(
            whole(row["id"]),
            row["model"],
            list(row["models"]),
            [number(share) for share in row["probabilities"]],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{log}: not a decision log: a decision has id, model, models and probabilities; "
            f"got {error!r} from one with {', '.join(map(str, row))}"
        ) from error
    for name, value, rule in _broken_rules(draw, row):
        raise DatasetError(f"{log}: decision {draw.id}: {name} = {shown(value)}: {rule}")
    return draw


def _broken_rules(draw: LoggedDraw, row: Row) -> Iterator[tuple[str, object, str]]:
    """Yield what a logged decision cannot be like: a field, its value and the rule."""
    models, shares = draw.models, draw.probabilities
    if not all(map(is_text, models)) or len(set(models)) < len(models):
        yield "models", models, "must be names, none of them twice"
    elif draw.model not in models:
        yield "model", draw.model, f"must be one of the live models, {', '.join(models)}"
    elif len(shares) != len(models):
        yield "probabilities", shares, f"must be {len(models)}, one for each model"
    elif not all(0.0 <= share <= 1.0 for share in shares):
        yield "probabilities", shares, "must be in [0, 1]"
    elif abs(math.fsum(shares) - 1.0) > SUM_TOLERANCE:
        yield "probabilities", shares, "must sum to 1"
    elif (told := row.get("probability")) is not None and not _is_near(
        told, shares[models.index(draw.model)]
    ):
        yield "probability", told, "must be that of the model among the probabilities"


def _is_near(told: object, share: float) -> bool:
    try:
        return abs(number(told) - share) <= SUM_TOLERANCE
    except ValueError:
        return False


def _told(row: Row, group: str | None) -> tuple[int, dict[str, Any]]:
    """Return the id of a decision and what a row says of it, as fields of `Outcome`."""
    try:
        decision, numbers = whole(row["id"]), {}
        for field in ("reward", "cost"):
            numbers[field] = number(row.get(field), or_truth=field == "reward")
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"outcome {shown(dict(row))}: {error!r}; it needs an id and numbers"
        ) from error
    told: dict[str, Any] = {field: x for field, x in numbers.items() if not math.isnan(x)}
    label = None if group is None else row.get(group)
    if label is not None and label != "":
        told["group"] = str(label)
        if len(told["group"]) > MAX_LABEL_CHARS:
            raise DatasetError(
                f"group of outcome {decision} has more than {MAX_LABEL_CHARS:,} characters"
            )
    return decision, told


def _read_rows(path: Path) -> tuple[list[Row], int]:
    """Return all rows, and the number of lines that could not be read."""
    try:
        if path.is_dir() or path.suffix == ".parquet":
            return _parquet_rows(path), 0
        if path.suffix == ".csv":
            return _csv_rows(path), 0
        if path.suffix == ".jsonl":
            return _json_rows(read_bytes(path))
        path.stat()
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: there is no such file or folder") from error
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise DatasetError(f"{path}: is too large for the memory") from error
    raise DatasetError(f"{path}: must be {FORMATS}")


def _parquet_rows(path: Path) -> list[Row]:
    pa = import_extra("pyarrow", "a parquet log", "parquet")
    pq = import_extra("pyarrow.parquet", "a parquet log", "parquet")
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    try:
        return [
            row
            for file in files
            for batch in limited_batches(pq.ParquetFile(pa.BufferReader(read_bytes(file))))
            for row in batch.to_pylist()
        ]
    except (UnicodeDecodeError, pa.ArrowException) as error:
        raise DatasetError(f"not parquet that can be read: {error}") from error


def _csv_rows(path: Path) -> list[Row]:
    csv_rows = read_csv_rows(path, NUMBERS.__contains__)
    check_header(csv_rows.header)
    columns = [
        csv_rows.numbers(index) if name in NUMBERS else csv_rows.column(index)
        for index, name in enumerate(csv_rows.header)
    ]
    rows = zip(*columns, strict=True)
    return [dict(zip(csv_rows.header, row, strict=True)) for row in rows]


def _json_rows(data: bytes) -> tuple[list[Row], int]:
    rows: list[Row] = []
    broken = 0
    for line in filter(bytes.strip, data.removeprefix(BOM).split(b"\n")):
        try:
            row = json.loads(line.decode(errors="replace"))
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            decode(line)  # a whole line in another encoding is no half one
            rows.append(row)
        else:
            broken += 1
    return rows, broken
