"""Results of studies, kept in a folder: what ran, and a record of every episode.

    study.json          what ran: study, version, settings, episodes; written first
    finished.jsonl      one line for each episode, appended as it finishes; gone at the end
    timings.json        how long the episodes took; not the same on any two runs
    episodes.parquet    all records, in the order of the study; written last
    lock                held while a process works on the folder; empty

The two files of results, `study.json` and `episodes.parquet`, are the same bytes however often the
study was stopped, killed and resumed, and however many workers there were.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stageroute.errors import MissingExtraError, ResultsError
from stageroute.files import replacing
from stageroute.lab.episodes import Record

__all__ = [
    "EPISODES",
    "FINISHED",
    "FORMAT",
    "LOCK",
    "STUDY",
    "TIMINGS",
    "StudyResults",
    "Timing",
    "differences",
    "read_json",
    "read_results",
    "write_table",
]

FORMAT: Final = 2
"""Of the folder, and of JSON that holds records."""

STUDY: Final = "study.json"
FINISHED: Final = "finished.jsonl"
TIMINGS: Final = "timings.json"
EPISODES: Final = "episodes.parquet"
LOCK: Final = "lock"

Timing = dict[str, float]


class StudyResults:
    """What a study found: its settings and its records.

    Parameters
    ----------
    study : str
    version : str
        Of the package that ran it.
    settings : dict
        What it ran under.
    records : sequence of Record
        In the order of the study.
    timings : dict of str to dict, optional
        By key of the episode.
    """

    def __init__(
        self,
        study: str,
        version: str,
        settings: dict[str, Any],
        records: Sequence[Record],
        timings: dict[str, Timing] | None = None,
    ) -> None:
        self.study, self.version, self.settings = study, version, settings
        self.records = tuple(records)
        self.timings = timings or {}

    def of(self, **values: object) -> list[Record]:
        """Return the records with these values: of fields, or of what the study varies."""
        return [record for record in self.records if _matches(record, values)]

    def distinct(self, name: str) -> list[Any]:
        """Return the values that a field, or what the study varies, takes; in order."""
        return list(dict.fromkeys(_value(record, name) for record in self.records))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "format": FORMAT,
            "study": self.study,
            "version": self.version,
            "settings": self.settings,
            "episodes": [_without_nan(record.to_json()) for record in self.records],
        }


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: a stage without a finite price has none."""
    prices = [price if price == price else None for price in values["stage_budget_price"]]
    return values | {"stage_budget_price": prices}


def _value(record: Record, name: str) -> Any:
    cell = record.cell_values
    return cell[name] if name in cell else getattr(record, name, None)


def _matches(record: Record, values: dict[str, object]) -> bool:
    return all(_value(record, name) == value for name, value in values.items())


def read_results(path: Path) -> StudyResults:
    """Read the results of a study that has finished.

    Raises
    ------
    ResultsError
        If there are none, they are damaged, or they are not in this format.
    """
    if not (path / EPISODES).exists():
        state = "its study was not finished" if (path / STUDY).exists() else "no study ran there"
        raise ResultsError(f"{path}: no results, {state}")
    header = read_json(path / STUDY)
    if header.get("format") != FORMAT:
        raise ResultsError(
            f"{path}: format {header.get('format')!r}; this version reads format {FORMAT}"
        )
    if absent := {"study", "version", "settings", "episodes"} - header.keys():
        raise ResultsError(f"{path / STUDY}: {', '.join(sorted(absent))} is missing")
    records = _read_table(path / EPISODES)
    if [record.key for record in records] != [episode["key"] for episode in header["episodes"]]:
        raise ResultsError(
            f"{path / EPISODES}: these are not the episodes of {STUDY}; remove it and run the "
            "study again"
        )
    timings = read_json(path / TIMINGS) if (path / TIMINGS).exists() else {}
    return StudyResults(header["study"], header["version"], header["settings"], records, timings)


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield where nested settings differ: the dotted name, and both values (None for no such)."""
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}", old, new


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises
    ------
    ResultsError
        If there is none.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ResultsError(f"{path}: cannot be read: it holds no JSON object")
    return values


def _parquet() -> Any:
    try:
        import pyarrow.parquet  # an extra
    except ImportError:
        raise MissingExtraError(
            "results are parquet files: pip install 'stageroute[lab]'"
        ) from None
    return pyarrow


def write_table(path: Path, records: Sequence[Record]) -> None:
    """Write all records so that the file is there whole or not at all."""
    pyarrow = _parquet()
    table = pyarrow.Table.from_pylist([record.to_json() for record in records])
    with replacing(path) as new:
        pyarrow.parquet.write_table(table, new, compression="zstd", write_page_checksum=True)


def _read_table(path: Path) -> list[Record]:
    pyarrow = _parquet()
    try:
        table = pyarrow.parquet.read_table(path, page_checksum_verification=True)
        return [Record.from_json(row) for row in table.to_pylist()]
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise ResultsError(
            f"{path}: cannot be read: {error!r}; remove it and run the study again"
        ) from None
