"""What `stageroute compare` needs of a study: six figures of every episode, by row and seed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from stageroute.errors import ResultsError
from stageroute.files import replacing
from stageroute.lab.results import FORMAT, StudyResults, read_json, read_results

__all__ = ["FIGURES", "Figures", "Row", "read_figures", "write_figures"]

FIGURES: Final = (
    "regret",
    "spend",
    "worst_running_spend",
    "reward",
    "largest_stage_violation",
    "starts",
)
"""Fields of a record."""

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
    """The figures of a study.

    Parameters
    ----------
    study, version : str
    settings : dict
        What it ran under.
    rows : dict of Row to dict of int to tuple of float
        By row and seed.
    """

    study: str
    version: str
    settings: dict[str, Any]
    rows: dict[Row, dict[int, Values]]

    @classmethod
    def of(cls, results: StudyResults) -> "Figures":
        """Take them from results."""
        episodes = (record.to_json() for record in results.records)
        rows = _by_row(episodes)
        return cls(results.study, results.version, results.settings, rows)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, figures to five significant digits."""
        rows = [
            row._asdict()
            | {"seeds": list(seeds)}
            | {
                name: [float(f"{values[k]:.{DIGITS}g}") for values in seeds.values()]
                for k, name in enumerate(FIGURES)
            }
            for row, seeds in self.rows.items()
        ]
        return {
            "format": FORMAT,
            "study": self.study,
            "version": self.version,
            "settings": self.settings,
            "rows": rows,
        }


def read_figures(path: Path) -> Figures:
    """Read them from a folder of results, or from a file of ``--figures`` or ``--json``.

    Raises
    ------
    ResultsError
        If it is none of these, or the same row has two episodes with the same seed.
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
    """Write what `read_figures` reads, one line for each row."""
    values = Figures.of(results).to_json()
    rows = ",\n".join(json.dumps(row) for row in values.pop("rows"))
    head = json.dumps(values)[:-1]
    with replacing(path) as new:
        new.write_text(f'{head}, "rows": [\n{rows}\n]}}\n', encoding="utf-8")


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
