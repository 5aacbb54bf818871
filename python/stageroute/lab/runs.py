"""Records in groups: what a study varies, how long they took, others on the same stream."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stageroute.lab.episodes import Record
from stageroute.lab.results import StudyResults

__all__ = ["Key", "Run", "Runs", "Where", "group", "runs_of", "select", "values"]


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """A record; `run[name]` is a value that its study varies, or a field of the record.

    Attributes
    ----------
    record : Record
    cell : dict
        What the study varies, by name.
    timing : dict of str to float
        Empty where it was not kept.
    """

    record: Record
    cell: dict[str, Any]
    timing: dict[str, float]
    _by_stream: dict[tuple[object, ...], "Run"] = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        return self.cell[name] if name in self.cell else getattr(self.record, name)

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


def _stream(record: Record) -> tuple[object, ...]:
    return record.workload, record.num_queries, record.num_stages, record.budget, record.seed


def runs_of(results: StudyResults) -> Runs:
    """Return the runs of a study, in its order."""
    by_stream: dict[tuple[object, ...], Run] = {}
    runs = [
        Run(record, record.cell_values, results.timings.get(record.key, {}), by_stream)
        for record in results.records
    ]
    for run in runs:
        by_stream.setdefault((*_stream(run.record), run.record.policy), run)
    return runs


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


def _value(run: Run, key: Key) -> Any:
    return run[key] if isinstance(key, str) else key(run)
