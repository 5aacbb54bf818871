"""The folder of a study that runs, or goes on: what is finished is written down at once."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stageroute._core import __version__
from stageroute.errors import InvalidInputError, ResultsError
from stageroute.files import write_json
from stageroute.lab.episodes import Episode, Record
from stageroute.lab.results import (
    EPISODES,
    FINISHED,
    FORMAT,
    LOCK,
    STUDY,
    TIMINGS,
    StudyResults,
    Timing,
    differences,
    read_json,
    read_results,
    write_table,
)

try:
    import fcntl
except ImportError:  # Windows: nothing guards against two processes on one folder
    fcntl = None  # type: ignore[assignment]


@contextmanager
def open_results(
    path: Path, study: str, settings: dict[str, Any], episodes: Sequence[Episode]
) -> Iterator["ResultsFolder"]:
    """Begin with a folder of results, or go on with it; no other process can, meanwhile.

    It is made where it does not exist. `settings` are plain values that fix the study's episodes.
    A `ResultsError` says that the folder holds something else (another study, this one under other
    settings or of another version, other files), is damaged, or is in use. It was not changed.
    """
    described = [episode.to_json() | {"key": episode.key()} for episode in episodes]
    keys = [values["key"] for values in described]
    if len(set(keys)) < len(keys):
        raise InvalidInputError(f"study {study!r}: two of its episodes are the same")
    header = {
        "format": FORMAT,
        "study": study,
        "version": __version__,
        "settings": settings,
        "episodes": described,
    }
    _prepare(path)
    with _locked(path):
        if (path / STUDY).exists():
            _require_same(path, json.loads(json.dumps(header)))
        else:
            write_json(path / STUDY, header, allow_nan=True)
        yield ResultsFolder(path, keys)


class ResultsFolder:
    """The folder of a study that runs, with the keys of its episodes; see `open_results`."""

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self._path = path
        self._keys = tuple(keys)
        if (path / EPISODES).exists():
            found = [(record, Timing()) for record in read_results(path).records]
        else:
            found = _read_finished(path / FINISHED, set(keys))
        self.finished = {record.key: (record, timing) for record, timing in found}
        """What need not run again, by key."""

    def add(self, record: Record, timing: Timing) -> None:
        """Write down a finished episode, so that it survives the end of this process.

        A `ResultsError` says that it cannot be written; what was written before is kept.
        """
        line = json.dumps({"record": record.to_json(), "timing": timing})
        try:
            with (self._path / FINISHED).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise ResultsError(
                f"{self._path / FINISHED}: cannot be written: {error}; what is finished is kept: "
                "run the study again to go on"
            ) from None
        self.finished[record.key] = record, timing

    def complete(self) -> StudyResults:
        """Write the results, in the order of the study.

        A `ResultsError` says that an episode is missing, or the results cannot be written.
        """
        missing = len(self._keys) - len(self.finished)
        if missing:
            raise ResultsError(f"{self._path}: {missing} episodes are not finished; run it again")
        try:
            # What is finished goes last: until then, this can be done again from it.
            if not (self._path / EPISODES).exists():
                found = [self.finished[key] for key in self._keys]
                write_json(self._path / TIMINGS, {record.key: timing for record, timing in found})
                write_table(self._path / EPISODES, [record for record, _ in found])
            (self._path / FINISHED).unlink(missing_ok=True)
        except OSError as error:
            raise ResultsError(f"{self._path}: cannot be written: {error}") from None
        return read_results(self._path)


def _prepare(path: Path) -> None:
    """Make the folder; refuse one that holds no study but something else."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        found = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise ResultsError(f"{path}: cannot be a folder of results: {error}") from None
    foreign = sorted(name for name in found - {LOCK} if not name.startswith(f".{STUDY}."))
    if STUDY not in found and foreign:
        raise ResultsError(
            f"{path} holds no {STUDY} but other files ({', '.join(foreign[:3])}); name a new folder"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from the folder; the system unlocks it when this process ends."""
    try:
        file = (path / LOCK).open("a")
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written: {error}") from None
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ResultsError(
                    f"{path}: another process works on this folder; wait for it or end it"
                ) from None
        yield


def _require_same(path: Path, header: dict[str, Any]) -> None:
    """Refuse to go on with something else."""
    kept = read_json(path / STUDY)
    for name in header:
        if kept.get(name) != header[name]:
            raise ResultsError(
                f"{path} holds results of another run: its {name} differs"
                f"{_changes(kept.get(name), header[name])}; name another folder, or remove this one"
            )


def _changes(kept: Any, wanted: Any) -> str:
    if isinstance(kept, list):
        return ""
    if not isinstance(kept, dict):
        return f" ({kept!r} there, {wanted!r} now)"
    found = differences(kept, wanted)
    return f" ({'; '.join(f'{name}: {old!r} there, {new!r} now' for name, old, new in found)})"


def _read_finished(path: Path, keys: set[str]) -> list[tuple[Record, Timing]]:
    """Read what is finished; then cut off a last line that was torn by a crash."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    finished = []
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        try:
            values = json.loads(line)
            record, timing = Record.from_json(values["record"]), values["timing"]
            if record.key not in keys:
                raise ValueError(f"the study has no episode {record.key}")  # noqa: TRY301
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"{path}, line {number}: not a finished episode ({error!r}); remove that line"
            ) from None
        finished.append((record, timing))
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return finished
