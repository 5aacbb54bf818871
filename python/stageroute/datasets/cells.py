"""What the cells of files say: numbers, truth values and ids, as others write them."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from numbers import Integral
from pathlib import Path
from typing import Final, NamedTuple

from stageroute.checks import plain, shown
from stageroute.errors import DatasetError

MOST_BYTES: Final = 1 << 30
"""No file is read that is larger, packed or unpacked."""
MOST_DIGITS: Final = 30
MOST_CELL_CHARS: Final = 16_000_000
DELIMITERS: Final = ",;\t"
UNKNOWN: Final = frozenset(("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none"))
"""How files say that a value is not known, in lower case."""
TOO_LARGE: Final = 10**300
TRUTHS: Final = {"true": 1.0, "false": 0.0}


def read_bytes(path: Path) -> bytes:
    """Read a file, but not one that is too large, or has no end."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    require_size(len(data))
    return data


def require_size(size: int) -> None:
    """Refuse what has more bytes than are ever read."""
    if size > MOST_BYTES:
        raise DatasetError(f"has more than {MOST_BYTES:,} bytes, unpacked; split it")


def decode(data: bytes) -> str:
    """Return text that is UTF-8, with a byte order mark or without."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"not UTF-8 text (byte {error.start}, line {line}): save it as UTF-8, or copy it again"
        ) from error


class CsvRows(NamedTuple):
    """A CSV file: the cells of its header and, with their line, of each row."""

    header: list[str]
    rows: list[tuple[int, list[str]]]
    delimiter: str

    def column(self, index: int) -> list[str]:
        """Return the cells of a column."""
        return [row[index] for _, row in self.rows]

    def numbers(self, index: int) -> list[str]:
        """Return the cells of a column of numbers, with decimal points."""
        cells = self.column(index)
        if self.delimiter == "," or not any("," in cell for cell in cells):
            return cells
        if any("." in cell for cell in cells):
            raise DatasetError(
                f"column {self.header[index]!r} has decimal commas and decimal points; use one"
            )
        return [cell.replace(",", ".") for cell in cells]


def read_csv_rows(path: Path, is_wanted: Callable[[str], bool]) -> CsvRows:
    """Read a CSV file with commas, semicolons or tabs: whichever shows most of the wanted names."""
    text = decode(read_bytes(path))
    found = [_split(text, delimiter, only_header=True) for delimiter in DELIMITERS]
    best = max(found, key=lambda csv_rows: sum(map(is_wanted, csv_rows.header)))
    csv_rows = _split(text, best.delimiter, only_header=False)
    width = len(csv_rows.header)
    if not width:
        raise DatasetError("the file is empty; it needs a header line and at least one row")
    for line, row in csv_rows.rows:
        if len(row) != width:
            raise DatasetError(
                f"line {line} has {len(row)} cells but the header has {width}; the file may "
                "be cut short, or its cells may not be separated by "
                f"{best.delimiter!r}, as the header's are"
            )
    return csv_rows


def _split(text: str, delimiter: str, *, only_header: bool) -> CsvRows:
    previous_limit = csv.field_size_limit(MOST_CELL_CHARS)  # prompts pass the default of 131,072
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    try:
        header = next(reader, [])
        rows = [] if only_header else [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        if only_header:
            return CsvRows([], [], delimiter)
        raise DatasetError(f"line {reader.line_num} is not valid CSV: {error}") from error
    finally:
        csv.field_size_limit(previous_limit)
    return CsvRows(header, rows, delimiter)


def number(value: object, *, or_truth: bool = False) -> float:
    """Return the number in a cell; NaN where it is not known.

    A truth value is 1 or 0 where that is allowed. A ValueError says that it is none.
    """
    cell = value.strip().lower() if isinstance(value, str) else value
    if or_truth and (isinstance(cell, bool) or (isinstance(cell, str) and cell in TRUTHS)):
        return TRUTHS[str(cell).lower()]
    if value is None or (isinstance(cell, str) and cell in UNKNOWN):
        return math.nan
    if isinstance(cell, str) and "_" not in cell:
        with suppress(ValueError):
            return float(cell)
    found = plain(cell)
    if found is None or abs(found) >= TOO_LARGE:
        hint = "; decimal commas need semicolons between cells" if _has_comma(value) else ""
        raise ValueError(f"{shown(value)} is not a number{hint}")
    return float(found)


def _has_comma(value: object) -> bool:
    return isinstance(value, str) and value.replace(",", "", 1).strip().isdigit()


def whole(value: object) -> int:
    """Return the whole number in a cell: 12, "12" and 12.0 are the same; 1.5 is a ValueError."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    cell = value.strip() if isinstance(value, str) else ""
    if cell.isascii() and cell.isdigit() and len(cell) < MOST_DIGITS:
        return int(cell)
    found = number(value)
    if found.is_integer():
        return int(found)
    raise ValueError(f"{shown(value)} is not a whole number")


def labels(values: Sequence[object]) -> list[object]:
    """Return labels as text: numbers of one kind, as pandas writes ids, without their ``.0``."""
    kinds = {type(value) for value in values}
    if kinds <= {int} or (kinds <= {int, float} and all(map(_is_whole, values))):
        return [str(int(value)) for value in values]  # type: ignore[call-overload]
    if kinds <= {str} and values and all(map(_is_padded, values)):
        return [str(value)[:-2] for value in values]
    return list(values)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _is_padded(value: object) -> bool:
    return isinstance(value, str) and value.endswith(".0") and value[:-2].isdigit()
