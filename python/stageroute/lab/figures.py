"""What `stageroute compare` needs of a study: six figures of every episode, by row and seed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from stageroute.errors import ResultsError
from stageroute.files import replacing
from stageroute.lab.results import FORMAT, StudyResults, read_json, read_results


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of an episode, and how it is judged."""

    name: str  # how reports call it
    field: str  # of a record
    tolerance: float  # a smaller difference of its mean is of no practical relevance
    sign: int = 1  # of a change for the worse
    is_above_budget: bool = False  # whether only what exceeds 1 is judged


MEASURES: Final = (
    Measure("regret", "regret", 0.002),
    Measure("spend above b", "spend", 0.005, is_above_budget=True),
    Measure("worst running spend above b", "worst_running_spend", 0.02, is_above_budget=True),
    Measure("reward", "reward", 0.002, sign=-1),
    Measure("largest stage violation", "largest_stage_violation", 0.05),
    Measure("starts", "starts", 2.0),
)
"""To spend less than b is neither better nor worse: reward tells."""

FIGURES: Final = tuple(measure.field for measure in MEASURES)

DIGITS: Final = 5
"""Significant digits that are kept in a file: far more than a comparison can tell apart."""

Values = tuple[float, ...]
"""One for each of `FIGURES`."""


class Row(NamedTuple):
    """A row of a study's tables: what has a figure for each seed."""

    workload: str
    cell: str
    budget: float
    policy: str

    def __str__(self) -> str:
        cell = "".join(f", {name} = {value}" for name, value in json.loads(self.cell).items())
        return f"{self.policy}, b = {self.budget:g}, {self.workload}{cell}"


@dataclass(frozen=True, eq=False, slots=True)
class Figures:
    """The figures of a study, by row and seed, and the settings that it ran under."""

    study: str
    version: str
    settings: dict[str, Any]
    rows: dict[Row, dict[int, Values]]

    @classmethod
    def of(cls, results: StudyResults) -> "Figures":
        """Take them from results."""
        rows = _by_row(record.to_json() for record in results.records)
        return cls(results.study, results.version, results.settings, rows)


def read_figures(path: Path) -> Figures:
    """Read them from a folder of results, or from a file of ``--figures`` or ``--json``.

    A `ResultsError` says that it is none of these, or the same row has two episodes with a seed.
    """
    if path.is_dir():
        return Figures.of(read_results(path))
    values = read_json(path)
    try:
        if "rows" in values:
            rows = {_row(row): _by_seed(row) for row in values["rows"]}
        else:
            rows = _by_row(values["episodes"])
        return Figures(values["study"], values["version"], dict(values["settings"]), rows)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ResultsError):
            raise
        raise ResultsError(
            f"{path}: holds no figures of a study ({error!r}); name a folder of results, or a "
            "file that 'stageroute study' wrote with --figures or --json"
        ) from None


def write_figures(path: Path, results: StudyResults) -> None:
    """Write what `read_figures` reads, one line for each row, to five significant digits."""
    lines = []
    for row, seeds in Figures.of(results).rows.items():
        columns = zip(FIGURES, zip(*seeds.values(), strict=True), strict=True)
        short = {name: [float(f"{x:.{DIGITS}g}") for x in column] for name, column in columns}
        lines.append(json.dumps(row._asdict() | {"seeds": list(seeds)} | short))
    names = "study", "version", "settings"
    head = {"format": FORMAT} | {name: getattr(results, name) for name in names}
    rows = ",\n".join(lines)
    with replacing(path) as new:
        new.write_text(f'{json.dumps(head)[:-1]}, "rows": [\n{rows}\n]}}\n', encoding="utf-8")


def _row(values: dict[str, Any]) -> Row:
    return Row(values["workload"], values["cell"], float(values["budget"]), values["policy"])


def _by_seed(row: dict[str, Any]) -> dict[int, Values]:
    columns = [row[name] for name in FIGURES]
    return dict(zip(row["seeds"], zip(*columns, strict=True), strict=True))


def _by_row(episodes: Iterable[dict[str, Any]]) -> dict[Row, dict[int, Values]]:
    rows: dict[Row, dict[int, Values]] = {}
    for episode in episodes:
        row, seed = _row(episode), episode["seed"]
        if seed in rows.setdefault(row, {}):
            raise ResultsError(
                f"two episodes of {row} have seed {seed}; a study must name what it varies"
            )
        rows[row][seed] = tuple(float(episode[name]) for name in FIGURES)
    return rows
