"""Results of studies, kept in a folder: what ran, and a record of every episode.

    study.json          what ran: study, version, settings, episodes; written first
    finished.jsonl      one line for each episode, appended as it finishes; gone at the end
    episodes.parquet    all records, in the order of the study; written at the end
    timings.json        how long the episodes took; not the same on any two runs

A study that was stopped or killed is resumed from what is finished. The two files of results are
the same bytes whether or not that happened, and however many workers there were.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from stageroute._core import __version__
from stageroute.errors import InvalidInputError, MissingExtraError, ResultsError
from stageroute.lab.episodes import Episode, Record

__all__ = ["STUDY", "ResultsFolder", "StudyResults", "read_results"]

FORMAT: Final = 1
"""Version of the folder's format."""

STUDY, FINISHED, EPISODES, TIMINGS = (
    "study.json",
    "finished.jsonl",
    "episodes.parquet",
    "timings.json",
)

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
            "study": self.study,
            "version": self.version,
            "settings": self.settings,
            "episodes": [asdict(record) for record in self.records],
        }


def _value(record: Record, name: str) -> Any:
    cell = record.cell_values
    return cell[name] if name in cell else getattr(record, name, None)


def _matches(record: Record, values: dict[str, object]) -> bool:
    return all(_value(record, name) == value for name, value in values.items())


class ResultsFolder:
    """The folder of a study that is running, or resumed.

    Parameters
    ----------
    path : Path
        Made where it does not exist.
    study : str
    settings : dict
        Plain values that fix the study's episodes.
    episodes : sequence of Episode
        All of the study's.

    Raises
    ------
    ResultsError
        If the folder holds another study, or this one under other settings or of another version.
    InvalidInputError
        If two episodes are the same.
    """

    def __init__(
        self, path: Path, study: str, settings: dict[str, Any], episodes: Sequence[Episode]
    ) -> None:
        self._path = path
        self._order = {episode.key(): number for number, episode in enumerate(episodes)}
        if len(self._order) < len(episodes):
            raise InvalidInputError(f"study {study!r}: two of its episodes are the same")
        self._header = {
            "format": FORMAT,
            "study": study,
            "version": __version__,
            "settings": settings,
            "episodes": [episode.to_json() | {"key": episode.key()} for episode in episodes],
        }
        self._records: dict[str, Record] = {}
        self._timings: dict[str, Timing] = {}
        path.mkdir(parents=True, exist_ok=True)
        if (path / STUDY).exists():
            self._resume()
        else:
            _write_whole(path / STUDY, _to_text(self._header))

    @property
    def finished(self) -> frozenset[str]:
        """Keys of the episodes that need not run again."""
        return frozenset(self._records)

    def add(self, record: Record, timing: Timing) -> None:
        """Write down a finished episode, so that it survives the end of this process."""
        line = json.dumps({"record": asdict(record), "timing": timing})
        with (self._path / FINISHED).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._records[record.key], self._timings[record.key] = record, timing

    def complete(self) -> StudyResults:
        """Write the results, in the order of the study.

        Raises
        ------
        ResultsError
            If an episode is missing.
        """
        missing = len(self._order) - len(self._records)
        if missing:
            raise ResultsError(f"{self._path}: {missing} episodes are not finished; run it again")
        records = sorted(self._records.values(), key=lambda record: self._order[record.key])
        if not (self._path / EPISODES).exists():
            _write_table(self._path / EPISODES, records)
            timings = {record.key: self._timings[record.key] for record in records}
            _write_whole(self._path / TIMINGS, _to_text(timings))
        (self._path / FINISHED).unlink(missing_ok=True)
        return read_results(self._path)

    def _resume(self) -> None:
        header = _read_json(self._path / STUDY)
        for name in ("format", "study", "version", "settings", "episodes"):
            if header.get(name) != json.loads(json.dumps(self._header[name])):
                raise ResultsError(
                    f"{self._path} holds results of another run: its {name} differs; "
                    "name another folder, or remove this one"
                )
        if (self._path / EPISODES).exists():
            results = read_results(self._path)
            self._records = {record.key: record for record in results.records}
            self._timings = results.timings
            return
        for record, timing in _read_finished(self._path / FINISHED):
            self._records[record.key], self._timings[record.key] = record, timing


def _read_finished(path: Path) -> Iterable[tuple[Record, Timing]]:
    """Read what is finished; a last line that was torn by a crash is cut off."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    for number, line in enumerate(whole.decode("utf-8").splitlines(), start=1):
        try:
            values = json.loads(line)
            yield Record.from_json(values["record"]), values["timing"]
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"{path}, line {number}: not a finished episode ({error!r}); remove that line"
            ) from None


def read_results(path: Path) -> StudyResults:
    """Read the results of a study that has finished.

    Raises
    ------
    ResultsError
        If there are none, or they are not in this format.
    """
    if not (path / EPISODES).exists():
        state = "its study was not finished" if (path / STUDY).exists() else "no study ran there"
        raise ResultsError(f"{path}: no results, {state}")
    header = _read_json(path / STUDY)
    if header.get("format") != FORMAT:
        raise ResultsError(
            f"{path}: format {header.get('format')!r}; this version reads format {FORMAT}"
        )
    records = [Record.from_json(row) for row in _read_table(path / EPISODES)]
    timings = _read_json(path / TIMINGS) if (path / TIMINGS).exists() else {}
    return StudyResults(header["study"], header["version"], header["settings"], records, timings)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from None
    return values


def _to_text(values: object) -> str:
    return json.dumps(values, indent=1) + "\n"


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _parquet() -> Any:
    try:
        import pyarrow.parquet  # an extra
    except ImportError:
        raise MissingExtraError(
            "results are parquet files: pip install 'stageroute[lab]'"
        ) from None
    return pyarrow


def _write_table(path: Path, records: Sequence[Record]) -> None:
    pyarrow = _parquet()
    table = pyarrow.Table.from_pylist([asdict(record) for record in records])
    new = path.with_name(path.name + ".new")
    pyarrow.parquet.write_table(table, new, compression="zstd")
    new.replace(path)


def _read_table(path: Path) -> list[dict[str, Any]]:
    pyarrow = _parquet()
    try:
        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from None
    return rows
