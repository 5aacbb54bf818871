"""Turn one file into named columns: CSV, parquet and NPZ.

Nothing here knows the rules of an outcome table; :mod:`stageroute.datasets.readers` does.
"""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stageroute.datasets.table import MAX_LABEL_CHARS
from stageroute.errors import DatasetError, MissingExtraError

__all__ = ["Columns", "Role", "labels", "read_csv", "read_npz", "read_parquet"]

Role = Literal["label", "number", "prompt"] | None
"""What a column is read as; ``None``: it is not read at all.

Labels are short and in every row; prompts are of any length, "" where there is none."""

Columns = dict[str, NDArray[Any]]
"""Columns of one file, by name and in file order; every array has one value per row."""

MAX_CELL_CHARS = 16_000_000


def _check_header(header: Sequence[str]) -> None:
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise DatasetError(f"column {repeated[0]!r} appears twice; column names must be unique")


def read_csv(path: Path, role: Callable[[str], Role]) -> Columns:
    """Read the columns that have a role from a UTF-8 CSV file with a header line.

    An empty numeric cell is a missing value (NaN).

    Raises
    ------
    DatasetError
        The file is empty, not UTF-8, not well-formed, or a numeric cell is not a number.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    header, rows, lines = _csv_rows(text)
    _check_header(header)
    columns: Columns = {}
    for index, name in enumerate(header):
        kind = role(name)
        if kind is None:
            continue
        cells = [row[index] for row in rows]
        if kind == "number":
            columns[name] = _parse_numbers(name, cells, lines)
        else:
            columns[name] = _TEXTS[kind](name, cells)
    return columns


def _csv_rows(text: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows and the line each row ends on."""
    previous_limit = csv.field_size_limit(MAX_CELL_CHARS)  # prompts pass the default of 131,072
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if not header:
            raise DatasetError("the file is empty; it needs a header line and at least one row")
        rows: list[list[str]] = []
        lines: list[int] = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise DatasetError(
                    f"line {reader.line_num} has {len(row)} cells but the header has "
                    f"{len(header)}; the file may be cut short"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DatasetError(f"line {reader.line_num} is not valid CSV: {error}") from error
    finally:
        csv.field_size_limit(previous_limit)
    return header, rows, lines


def _parse_numbers(name: str, cells: list[str], lines: list[int]) -> NDArray[np.float64]:
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        stripped = cell.strip()
        if not stripped:
            continue
        try:
            values[row] = float(stripped)
        except ValueError:
            raise DatasetError(
                f"column {name!r}, line {lines[row]}: {cell[:80]!r} is not a number"
            ) from None
    return values


def labels(name: str, values: Sequence[object]) -> NDArray[np.str_]:
    """Labels as an array; a missing, non-text or over-long one is a ``DatasetError``."""
    for row, value in enumerate(values):
        if not isinstance(value, str) or not value:
            raise DatasetError(f"column {name!r}, row {row}: {value!r} is not a non-empty string")
        if len(value) > MAX_LABEL_CHARS:
            raise DatasetError(
                f"column {name!r}, row {row}: a label of {len(value)} characters; at most "
                f"{MAX_LABEL_CHARS}"
            )
    return np.array(values, dtype=np.str_)


def _prompts(name: str, values: Sequence[object]) -> NDArray[np.object_]:
    for row, value in enumerate(values):
        if not (value is None or isinstance(value, str)):
            raise DatasetError(f"column {name!r}, row {row}: {value!r} is not text")
    return np.array([value or "" for value in values], dtype=np.object_)


_TEXTS: dict[str, Callable[[str, Sequence[object]], NDArray[Any]]] = {
    "label": labels,
    "prompt": _prompts,
}


def read_parquet(path: Path, role: Callable[[str], Role]) -> Columns:
    """Read the columns that have a role from a parquet file; a null number is NaN.

    Raises
    ------
    MissingExtraError
        pyarrow is not installed.
    DatasetError
        The file is not parquet, is damaged, or a column holds something else than its role says.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError(
            "reading .parquet needs pyarrow: pip install 'stageroute[parquet]'"
        ) from error
    try:
        # From memory: an unfinished or replaced file cannot be seen half-way.
        file = pq.ParquetFile(pa.BufferReader(path.read_bytes()))
        header = [str(name) for name in file.schema_arrow.names]
        _check_header(header)
        wanted = {name: kind for name in header if (kind := role(name)) is not None}
        table = file.read(columns=list(wanted))
        table.validate(full=True)  # pyarrow reads damaged text without a look at it
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        raise DatasetError(
            f"not a readable parquet file (empty, cut short or damaged): {error}"
        ) from error
    columns: Columns = {}
    for name, kind in wanted.items():
        column = table.column(name)
        if kind == "number":
            columns[name] = _arrow_numbers(name, column, pa)
        else:
            columns[name] = _TEXTS[kind](name, column.to_pylist())
    return columns


def _arrow_numbers(name: str, column: Any, pa: Any) -> NDArray[np.float64]:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)):
        first = f"; first value {column[0].as_py()!r}" if len(column) else ""
        raise DatasetError(f"column {name!r} holds {kind}, not numbers{first}")
    # float32 is widened first, so that every later sum runs in double precision.
    values = column.cast(pa.float64(), safe=False).to_numpy()
    return np.array(values, dtype=np.float64)


def read_npz(path: Path) -> Columns:
    """Read all arrays of an ``.npz`` file, never unpickling anything.

    Raises
    ------
    DatasetError
        The file is not an NPZ archive, is damaged, or holds an array of Python objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_header(archive.namelist())
        with np.load(path, allow_pickle=False) as loaded:
            return {name: np.asarray(loaded[name]) for name in loaded.files}
    except DatasetError:
        raise
    except Exception as error:  # damage shows in many ways, from the zip down to array headers
        raise DatasetError(
            "not a readable .npz file (empty, cut short, damaged, or with arrays of Python "
            f"objects): {error}"
        ) from error
