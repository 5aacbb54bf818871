"""Summaries as declarations: which runs a table or figure is of, and what it shows of them.

A study declares parts. A part selects runs, once for each combination of values if it is `by` some,
and shows tables, figures, further parts, or what a function makes of the runs. Titles, headings and
column heads are formats: `{budget:g}` stands for what the part is by, `{part}` for its heading.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np

from stageroute.lab.intervals import Floats
from stageroute.lab.results import StudyResults
from stageroute.lab.runs import Key, Runs, Where, group, runs_of, select, values
from stageroute.lab.summary import Curve, Figure, LineFigure, Summary, Table

__all__ = [
    "Best", "Cell", "Columns", "Curves", "Each", "LinesOf", "Part", "Scope", "TableOf", "summarise",
]  # fmt: skip

Shown = Table | Figure
Cell = Callable[[Runs], str]


@dataclass(frozen=True, eq=False, slots=True)
class Scope:
    """The runs that something is shown of; the values that they were selected by; the heading."""

    runs: Runs
    names: dict[str, Any]
    part: str = ""

    def text(self, form: str) -> str:
        """Return a format with its names filled in."""
        return form.format(**self.names, part=self.part) if "{" in form else form


Show = Callable[[Scope], Iterable[Shown]]


@dataclass(frozen=True, slots=True)
class Part:
    """What is shown of some runs.

    Parameters
    ----------
    heading : str
        A format; "" keeps that of the part around it.
    shows : sequence of callable
    by : tuple of str
        Shown once for each combination of values of these.
    where : mapping, optional
        Conditions on the runs.
    when : callable, optional
        Whether there is anything to show of the runs.
    """

    heading: str
    shows: Sequence[Show]
    by: tuple[str, ...] = ()
    where: Where = field(default_factory=dict)
    when: Callable[[Runs], bool] = bool

    def __call__(self, scope: Scope) -> list[Shown]:
        """Return the tables and figures."""
        shown: list[Shown] = []
        for found, runs in group(select(scope.runs, self.where), *self.by).items():
            names = scope.names | dict(zip(self.by, found, strict=True))
            inner = Scope(runs, names, Scope(runs, names).text(self.heading) or scope.part)
            if self.when(runs):
                shown += [item for show in self.shows for item in show(inner)]
        return shown


def summarise(title: str, question: str, parts: Sequence[Part], results: StudyResults) -> Summary:
    """Evaluate the declarations of a study.

    A note that an earlier table has is not repeated.
    """
    runs = runs_of(results)
    scope = Scope(runs, {"seeds": len(values(runs, "seed")), "workload": runs[0]["workload"]})
    shown: list[Shown] = []
    notes: set[str] = set()
    for item in (item for part in parts for item in part(scope)):
        is_said = isinstance(item, Table) and item.note in notes
        shown.append(replace(item, note="") if is_said else item)
        notes.add(item.note)
    return Summary(scope.text(title), question, tuple(shown))


# ---- tables -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Best:
    """Cells of which the least, or the most, is marked."""

    kind: Literal["least", "most"]
    cell: Cell

    def __call__(self, runs: Runs) -> str:
        """Return what the cell says."""
        return self.cell(runs)


@dataclass(frozen=True, slots=True)
class Each:
    """Columns of the runs with each value of a key, under that value; `label` formats it.

    A single cell stands in a column that has the value for its head.
    """

    key: Key
    columns: Cell | Mapping[str, Cell]
    label: str = "{}"


Columns = Mapping[str, Cell | Mapping[str, Cell] | Each]
"""What the cells of columns say, by head; columns in an inner mapping stand under its head."""


@dataclass(frozen=True, slots=True)
class TableOf:
    """A table with a row for each combination of values of `rows`.

    `able` says which rows can have the best cells.
    """

    title: str
    rows: tuple[Key, ...]
    columns: Columns
    note: str = ""
    where: Where = field(default_factory=dict)
    able: Callable[[Runs], bool] = lambda _: True

    def __call__(self, scope: Scope) -> list[Table]:
        """Return the table, if there are runs for it."""
        runs = select(scope.runs, self.where)
        if not runs:
            return []
        groups = list(group(runs, *self.rows).values())
        above, heads, cells = zip(*_flat(self.columns, runs), strict=True)
        rows = tuple(tuple(cell(members) for cell in cells) for members in groups)
        able = [number for number, members in enumerate(groups) if self.able(members)]
        spans = tuple((text, len(list(same))) for text, same in groupby(above))
        return [
            Table(
                title=scope.text(self.title),
                columns=tuple(map(scope.text, heads)),
                rows=rows,
                note=scope.text(self.note),
                heads=spans if any(above) else (),
                best=_best(rows, cells, able),
                part=scope.part,
            )
        ]


def _flat(columns: Columns, runs: Runs) -> Iterator[tuple[str, str, Cell]]:
    """Yield the head above each column, its own, and its cells."""
    for head, what in columns.items():
        if isinstance(what, Each):
            for (value,) in group(runs, what.key):
                label, one = what.label.format(value), what.columns
                nested = one.items() if isinstance(one, Mapping) else [("", one)]
                for inner, cell in nested:
                    names = (label, inner) if inner else ("", label)
                    yield *names, _of_value(what.key, value, cell)
        elif isinstance(what, Mapping):
            for inner, cell in what.items():
                yield head, inner, cell
        else:
            yield "", head, what


def _of_value(key: Key, value: object, cell: Cell) -> Cell:
    def of_value(runs: Runs) -> str:
        found = group(runs, key).get((value,))
        return cell(found) if found else "-"

    return of_value


def _best(
    rows: Sequence[Sequence[str]], cells: Sequence[Cell], able: Sequence[int]
) -> frozenset[tuple[int, int]]:
    """Return the best cells of each column that has some, by what they show: ties are marked."""
    found = set()
    for place, cell in enumerate(cells):
        if isinstance(cell, Best) and able:
            shown = {row: float(rows[row][place].split()[0]) for row in able}
            best = (min if cell.kind == "least" else max)(shown.values())
            found |= {(row, place) for row, value in shown.items() if value == best}
    return frozenset(found)


# ---- curves -------------------------------------------------------------------------------------

Line = Callable[[Runs], Any]
"""The height of a point, or of all points: alone, or with the ends of what covers it."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves of a figure, one for each value of `by`; `label` formats it."""

    y: Line
    by: Key = lambda _: ""
    label: str = "{}"
    where: Where = field(default_factory=dict)
    is_reference: bool = False
    detail: Callable[[Runs], str] = lambda _: ""


@dataclass(frozen=True, slots=True)
class LinesOf:
    """A figure of curves; those without a finite value are left out.

    Parameters
    ----------
    title, x_label, y_label : str
    curves : sequence of Curves
    over : str or callable, optional
        What has a point of every curve for each of its values. Without it `x` and the curves' `y`
        give all points at once.
    x : callable, optional
        Where points are, from their runs; by default at the value of `over`.
    focus : callable, optional
        The labels that are in focus, from all runs of the figure.
    more : callable, optional
        Further curves, from those that there are.
    log_x, log_y, level, y_range, note
        As in `LineFigure`.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curves]
    over: Key | None = None
    x: Callable[[Runs], Any] | None = None
    where: Where = field(default_factory=dict)
    focus: Callable[[Runs], Collection[str]] | None = None
    more: Callable[[Sequence[Curve]], Sequence[Curve]] | None = None
    log_x: bool = False
    log_y: bool = False
    level: float | None = None
    y_range: tuple[float, float] | None = None
    note: str = ""

    def __call__(self, scope: Scope) -> list[LineFigure]:
        """Return the figure, if there are runs for it."""
        runs = select(scope.runs, self.where)
        if not runs:
            return []
        focus = self.focus(runs) if self.focus else None
        curves = [
            self._curve(of, of.label.format(value), members, focus)
            for of in self.curves
            for (value,), members in group(select(runs, of.where), of.by).items()
        ]
        drawn = [curve for curve in curves if np.isfinite(curve.y).any()]
        return [
            LineFigure(
                scope.text(self.title), scope.text(self.x_label), self.y_label,
                (*drawn, *(self.more(drawn) if self.more else ())),
                log_x=self.log_x, log_y=self.log_y, level=self.level, y_range=self.y_range,
                note=scope.text(self.note), part=scope.part,
            )
        ]  # fmt: skip

    def _curve(self, of: Curves, label: str, runs: Runs, focus: Collection[str] | None) -> Curve:
        points = {(None,): runs} if self.over is None else group(runs, self.over)
        x = [self.x(members) if self.x else value for (value,), members in points.items()]
        parts = [_parts(of.y(members)) for members in points.values()]
        mean, low, high = (np.concatenate(part) for part in zip(*parts, strict=True))
        has_band = bool(np.isfinite(low).any())
        return Curve(
            label,
            np.concatenate([np.atleast_1d(np.asarray(at, dtype=np.float64)) for at in x]),
            mean,
            low if has_band else None,
            high if has_band else None,
            is_reference=of.is_reference,
            in_focus=focus is None or label in focus,
            detail=of.detail(runs),
        )


def _parts(found: Any) -> tuple[Floats, Floats, Floats]:
    """Return heights and what covers them, NaN where nothing does, each shape (points,)."""
    mean, low, high = found if isinstance(found, tuple) else (found, np.nan, np.nan)
    mean = np.atleast_1d(np.asarray(mean, dtype=np.float64))
    return mean, np.broadcast_to(low, mean.shape), np.broadcast_to(high, mean.shape)
