"""Turn one file into named columns or arrays: CSV, parquet, NPZ, and the RouterBench pickle.

Nothing here knows the rules of an outcome table; :mod:`stageroute.datasets.readers` does.
"""

import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import import_extra
from stageroute.datasets.cells import labels, number, read_bytes, read_csv_rows, require_size
from stageroute.errors import DatasetError

Role = Literal["text", "number", "truth"] | None
"""What a column is read as; ``None``: it is not read at all. A text that is not there is "".
A truth is a number, or true or false."""

Columns = dict[str, NDArray[Any]]  # by name, in the file's order, with one value for each row
BATCH_ROWS: Final = 1024

# routerbench_0shot.pkl of the dataset withmartian/routerbench on the Hugging Face Hub, revision
# 784021482c3f320c6619ed4b3bb3b41a21424fcb: 36,497 rows, 11 models.
ROUTERBENCH_PICKLE_BYTES = 99_567_659
ROUTERBENCH_PICKLE_SHA256 = "ba4f77f19517610a707c374e99322d7750c30fc4ae7ff5527888595a1e65d36d"


def check_header(header: Sequence[str]) -> None:
    """Refuse names that appear twice."""
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise DatasetError(f"column {repeated[0]!r} appears twice; column names must be unique")


def read_csv(path: Path, role: Callable[[str], Role]) -> Columns:
    """Read the columns that have a role from a UTF-8 CSV file; an empty number is NaN."""
    csv_rows = read_csv_rows(path, lambda name: role(name) is not None)
    check_header(csv_rows.header)
    columns: Columns = {}
    for index, name in enumerate(csv_rows.header):
        kind = role(name)
        if kind == "text":
            columns[name] = _texts(labels(csv_rows.column(index)))
        elif kind is not None:
            cells = csv_rows.numbers(index)
            lines = (line for line, _ in csv_rows.rows)
            columns[name] = np.array(
                [_number(name, kind, *place) for place in zip(lines, cells, strict=True)]
            )
    return columns


def _number(column: str, kind: Role, line: int, cell: str) -> float:
    try:
        return number(cell, or_truth=kind == "truth")
    except ValueError as error:
        raise DatasetError(f"column {column!r}, line {line}: {error}") from None


def _texts(values: Sequence[object]) -> NDArray[np.object_]:
    return np.array(["" if value is None else value for value in values], dtype=np.object_)


def read_parquet(path: Path, role: Callable[[str], Role]) -> Columns:
    """Read the columns that have a role from a parquet file; a null number is NaN."""
    pa = import_extra("pyarrow", "reading .parquet", "parquet")
    pq = import_extra("pyarrow.parquet", "reading .parquet", "parquet")
    try:
        # From memory: an unfinished or replaced file cannot be seen half-way.
        file = pq.ParquetFile(pa.BufferReader(read_bytes(path)))
        header = [str(name) for name in file.schema_arrow.names]
        check_header(header)
        wanted = {name: kind for name in header if (kind := role(name)) is not None}
        table = pa.Table.from_batches(
            limited_batches(file, list(wanted)),
            pa.schema([file.schema_arrow.field(name) for name in wanted]),
        )
        table.validate(full=True)  # pyarrow reads damaged text without a look at it
    except (pa.ArrowException, OSError, UnicodeDecodeError, MemoryError) as error:
        raise DatasetError(
            f"not a readable parquet file (empty, cut short or damaged): {error}"
        ) from error
    columns: Columns = {}
    for name, kind in wanted.items():
        column, is_a = table.column(name), pa.types
        if kind == "text":
            columns[name] = _texts(labels(column.to_pylist()))
            continue
        stored = column.type
        if is_a.is_boolean(stored) and kind == "truth":
            column = column.cast(pa.int8())
        elif not _is_number(stored, is_a):
            first = f"; first value {column[0].as_py()!r}" if len(column) else ""
            raise DatasetError(f"column {name!r} holds {stored}, not numbers{first}")
        # float32 is widened first, so that every later sum runs in double precision.
        columns[name] = column.cast(pa.float64(), safe=False).to_numpy()
    return columns


def _is_number(stored: Any, is_a: Any) -> bool:
    kinds = (is_a.is_integer, is_a.is_floating, is_a.is_null, is_a.is_decimal)
    return any(is_kind(stored) for is_kind in kinds)


def limited_batches(file: Any, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Yield the rows of a parquet file, but not more than fit: a small file can hold any number."""
    size = 0
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
        size += batch.nbytes
        require_size(size)
        yield batch


def read_npz(path: Path) -> Columns:
    """Read all arrays of an ``.npz`` file, never unpickling anything."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_header(archive.namelist())
            require_size(sum(member.file_size for member in archive.infolist()))
        with np.load(path, allow_pickle=False) as loaded:
            return {name: np.asarray(loaded[name]) for name in loaded.files}
    except DatasetError:
        raise
    except Exception as error:  # damage shows in many ways, from the zip down to array headers
        raise DatasetError(
            "not a readable .npz file (empty, cut short, damaged, or with arrays of Python "
            f"objects): {error}"
        ) from error


def read_routerbench_pickle(path: Path, *, allow_pickle: bool) -> Any:
    """Read the frame in ``routerbench_0shot.pkl``, and refuse any other pickle."""
    if not allow_pickle:
        raise DatasetError(
            "unpickling a file runs whatever code it contains; if this is RouterBench's "
            "routerbench_0shot.pkl, pass allow_pickle=True (size and SHA-256 are checked first)"
        )
    size = path.stat().st_size
    if size != ROUTERBENCH_PICKLE_BYTES:
        raise DatasetError(
            f"{size} bytes, but RouterBench's routerbench_0shot.pkl has "
            f"{ROUTERBENCH_PICKLE_BYTES}; not unpickled. Download it again, or convert other data "
            "to .parquet, .csv or .npz"
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != ROUTERBENCH_PICKLE_SHA256:
        raise DatasetError(
            f"SHA-256 is {digest}, but RouterBench's routerbench_0shot.pkl has "
            f"{ROUTERBENCH_PICKLE_SHA256}; not unpickled. Download it again"
        )
    pd = import_extra("pandas", "reading the RouterBench pickle", "pickle")
    # The very bytes that were checked: the file may change between two reads.
    frame = pd.read_pickle(io.BytesIO(content))
    if not isinstance(frame, pd.DataFrame):
        raise DatasetError(f"the pickle holds a {type(frame).__name__}, not a DataFrame")
    return frame
