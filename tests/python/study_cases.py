"""The small setting of every study, run once; a look into what studies show of records."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from stageroute.lab.engines import local_engine
from stageroute.lab.episodes import Record
from stageroute.lab.results import StudyResults
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import run_study
from stageroute.lab.summary import Curve, LineFigure, Summary, Table


@cache
def small_results(name: str) -> StudyResults:
    """Return the results of a study's small setting; two seeds will do here."""
    study = STUDIES[name]
    num_queries = 3_000 if name == "scaling" else 1_200
    settings = replace(study.small, seeds=(0, 1), num_queries=num_queries)
    with TemporaryDirectory() as folder:
        return run_study(study, settings, Path(folder) / name, local_engine(1))


def changed(name: str, change: Callable[[Record], Record], copies: int = 1) -> Summary:
    """Sum up records that were changed, `repeats` times each."""
    results = small_results(name)
    records = [change(record) for record in results.records for _ in range(copies)]
    return STUDIES[name].summarise(StudyResults(name, "0", results.settings, records))


def table(summary: Summary, title: str) -> Table:
    """Return the table whose title begins so."""
    return next(table for table in summary.tables if table.title.startswith(title))


def cell(summary: Summary, title: str, row: str, column: str) -> str:
    """Return a cell by title, beginning of its row and head; "a / b" are two cells of a row."""
    found = table(summary, title)
    wanted = tuple(row.split(" / "))
    (cells,) = (cells for cells in found.rows if cells[: len(wanted)] == wanted)
    return cells[found.full_columns().index(column)]


def curve(summary: Summary, title: str, label: str) -> Curve:
    """Return the curve of that label in the figure whose title begins so."""
    figures = (f for f in summary.figures if isinstance(f, LineFigure))
    figure = next(figure for figure in figures if figure.title.startswith(title))
    return next(curve for curve in figure.curves if curve.label == label)
