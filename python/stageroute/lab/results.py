"""What a study found: its records, in groups as tables want them, and read from a folder.

    study.json          what ran: study, version, settings, episodes; written first
    finished.jsonl      one line for each episode, appended as it finishes; gone at the end
    timings.json        how long the episodes took; not the same on any two runs
    episodes.parquet    all records, in the order of the study; written last
    lock                held while a process works on the folder; empty

The two files of results, `study.json` and `episodes.parquet`, are the same bytes however often the
study was stopped, killed and resumed, and however many workers there were.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from stageroute.checks import import_extra
from stageroute.errors import ResultsError
from stageroute.files import replacing
from stageroute.lab.episodes import Record

FORMAT: Final = 2
"""Of the folder, and of JSON that holds records."""

STUDY: Final = "study.json"
FINISHED: Final = "finished.jsonl"
TIMINGS: Final = "timings.json"
EPISODES: Final = "episodes.parquet"
LOCK: Final = "lock"

Timing = dict[str, float]


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """A record; `run[name]` is a value that its study varies, or a field of the record."""

    record: Record
    cell: dict[str, Any]  # what the study varies, by name
    timing: Timing  # empty where it was not kept
    _by_stream: dict[tuple[object, ...], "Run"] = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.cell[name] if name in self.cell else getattr(self.record, name)

    def get(self, name: str) -> Any:
        """Return the value of that name; None where there is none."""
        return self.cell.get(name, getattr(self.record, name, None))

    def beside(self, policy: str | None) -> "Run | None":
        """Return another policy's run on the same stream with the same budget and stages."""
        return self._by_stream.get((*_stream(self.record), policy))

    def oracle(self) -> "Run":
        """Return the stage oracle's run on the same stream."""
        run = self.beside("oracle")
        assert run is not None, "studies that compare with the oracle run it"
        return run


Runs = Sequence[Run]

Key = str | Callable[[Run], Any]
"""What runs are grouped by: the name of a value, or what is worked out of each."""

Where = Mapping[str, object] | Callable[[Run], bool]
"""Which runs are wanted: values by name, or a function that says so."""


@dataclass(frozen=True, eq=False, slots=True)
class StudyResults:
    """What a study found."""

    study: str
    version: str  # of the package that ran it
    settings: dict[str, Any]  # what it ran under
    records: Sequence[Record]  # in the order of the study
    timings: Mapping[str, Timing] = field(default_factory=dict)  # by key of the episode

    def runs(self) -> Runs:
        """Return the records as runs."""
        by_stream: dict[tuple[object, ...], Run] = {}
        runs = [
            Run(record, record.cell_values, self.timings.get(record.key, {}), by_stream)
            for record in self.records
        ]
        for run in runs:
            by_stream.setdefault((*_stream(run.record), run.record.policy), run)
        return runs

    def of(self, **values: object) -> list[Record]:
        """Return the records with these values: of fields, or of what the study varies."""
        wanted = values.items()
        return [
            r.record for r in self.runs() if all(r.get(name) == value for name, value in wanted)
        ]

    def distinct(self, name: str) -> list[Any]:
        """Return the values that a field, or what the study varies, takes; in order."""
        return list(dict.fromkeys(run.get(name) for run in self.runs()))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "format": FORMAT,
            "study": self.study,
            "version": self.version,
            "settings": self.settings,
            "episodes": [_without_nan(record.to_json()) for record in self.records],
        }


def _stream(record: Record) -> tuple[object, ...]:
    return record.workload, record.num_queries, record.num_stages, record.budget, record.seed


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: a stage without a finite price has none."""
    prices = [price if price == price else None for price in values["stage_budget_price"]]
    return values | {"stage_budget_price": prices}


# ---- groups -------------------------------------------------------------------------------------


def select(runs: Runs, where: Where) -> Runs:
    """Return the runs that are wanted."""
    if callable(where):
        return [run for run in runs if where(run)]
    return [run for run in runs if all(run[name] == value for name, value in where.items())]


def values(runs: Runs, key: Key) -> list[Any]:
    """Return the values of a key: numbers from low to high, anything else as it comes."""
    found = list(dict.fromkeys(_value(run, key) for run in runs))
    is_number = all(isinstance(value, int | float) for value in found)
    return sorted(found) if is_number else found


def group(runs: Runs, *keys: Key) -> dict[tuple[Any, ...], Runs]:
    """Return the runs by the values of keys, in the order of those values."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(_value(run, key) for key in keys), []).append(run)
    orders = [values(runs, key) for key in keys]
    order = sorted(
        groups, key=lambda found: [o.index(v) for o, v in zip(orders, found, strict=True)]
    )
    return {found: groups[found] for found in order}


def by(runs: Runs, key: Key) -> dict[Any, Runs]:
    """Return the runs by the values of one key; see `group`."""
    return {value: members for (value,), members in group(runs, key).items()}


def _value(run: Run, key: Key) -> Any:
    return run[key] if isinstance(key, str) else key(run)


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


# ---- files --------------------------------------------------------------------------------------


def read_results(path: Path) -> StudyResults:
    """Read the results of a study that has finished.

    A `ResultsError` says that there are none, they are damaged, or not in this format.
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


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that holds an object; a `ResultsError` says that there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ResultsError(f"{path}: cannot be read: it holds no JSON object")
    return values


def write_table(path: Path, records: Sequence[Record]) -> None:
    """Write all records so that the file is there whole or not at all."""
    pyarrow, parquet = _parquet()
    table = pyarrow.Table.from_pylist([record.to_json() for record in records])
    with replacing(path) as new:
        parquet.write_table(table, new, compression="zstd", write_page_checksum=True)


def _read_table(path: Path) -> list[Record]:
    pyarrow, parquet = _parquet()
    try:
        table = parquet.read_table(path, page_checksum_verification=True)
        return [Record.from_json(row) for row in table.to_pylist()]
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise ResultsError(
            f"{path}: cannot be read: {error!r}; remove it and run the study again"
        ) from None


def _parquet() -> list[Any]:
    modules = "pyarrow", "pyarrow.parquet"
    return [import_extra(module, "a folder of results", "lab") for module in modules]
