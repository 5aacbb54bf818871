"""Summaries as declarations: which runs a table or figure is of, and what it shows of them.

A study declares parts. A part selects runs, once for each combination of values if it is `by` some,
and shows tables, figures, further parts, or what a function makes of the runs. Titles, headings and
column heads are formats: `{budget:g}` stands for what the part is by, `{part}` for its heading.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from itertools import groupby
from typing import Any, Literal

import numpy as np

from stageroute.lab.results import Key, Runs, Where, by, group, select
from stageroute.lab.statistics import Floats
from stageroute.lab.summary import Axes, Curve, Figure, LineFigure, Table

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
    """What is shown of some runs."""

    heading: str  # a format; "" keeps that of the part around it
    shows: Sequence[Show]
    by: tuple[str, ...] = ()  # shown once for each combination of values of these
    where: Where = field(default_factory=dict)
    when: Callable[[Runs], bool] = bool  # whether there is anything to show of the runs

    def __call__(self, scope: Scope) -> list[Shown]:
        """Return the tables and figures."""
        shown: list[Shown] = []
        for found, runs in group(select(scope.runs, self.where), *self.by).items():
            names = scope.names | dict(zip(self.by, found, strict=True))
            inner = Scope(runs, names, Scope(runs, names).text(self.heading) or scope.part)
            if self.when(runs):
                shown += [item for show in self.shows for item in show(inner)]
        return shown


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
    """Columns of the runs with each value of a key; `label` formats it.

    They stand under that value; a column without a head has it for its head.
    """

    key: Key
    columns: Mapping[str, Cell]
    label: str = "{}"


Columns = Mapping[str, Cell | Mapping[str, Cell] | Each]
"""What the cells of columns say, by head; columns in an inner mapping stand under its head."""


@dataclass(frozen=True, slots=True)
class TableOf:
    """A table with a row for each combination of values of `rows`, if there are runs for it."""

    title: str
    rows: tuple[Key, ...]
    columns: Columns
    note: str = ""
    where: Where = field(default_factory=dict)
    able: Callable[[Runs], bool] = lambda _: True  # which rows can have the best cells

    def __call__(self, scope: Scope) -> list[Table]:
        """Return the table."""
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
                scope.text(self.title), tuple(map(scope.text, heads)), rows, scope.text(self.note),
                spans if any(above) else (), _best(rows, cells, able), scope.part,
            )
        ]  # fmt: skip


def _flat(columns: Columns, runs: Runs) -> Iterator[tuple[str, str, Cell]]:
    """Yield the head above each column, its own, and its cells."""
    for head, what in columns.items():
        if isinstance(what, Each):
            for value in by(runs, what.key):
                label = what.label.format(value)
                for inner, cell in what.columns.items():
                    names = (label, inner) if inner else ("", label)
                    yield *names, _of_value(what.key, value, cell)
        elif isinstance(what, Mapping):
            for inner, cell in what.items():
                yield head, inner, cell
        else:
            yield "", head, what


def _of_value(key: Key, value: object, cell: Cell) -> Cell:
    def of_value(runs: Runs) -> str:
        found = by(runs, key).get(value)
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


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves of a figure, one for each value of `by`; `label` formats it.

    `y` is the height of a point, or of all points: alone, or with the ends of what covers it.
    """

    y: Callable[[Runs], Any]
    by: Key = lambda _: ""
    label: str = "{}"
    where: Where = field(default_factory=dict)
    is_reference: bool = False
    detail: Callable[[Runs], str] = lambda _: ""


@dataclass(frozen=True, eq=False, slots=True)
class LinesOf(Axes):
    """A figure of curves, if there are runs for it; those without a finite value are left out."""

    curves: Sequence[Curves]
    _: KW_ONLY
    # What has a point of every curve for each of its values. Without it the curves' `y` gives all
    # points at once, at `x`, or numbered from 1.
    over: Key | None = None
    x: Callable[[Runs], Any] | None = None  # where points are; by default at the value of `over`
    where: Where = field(default_factory=dict)
    focus: Callable[[Runs], Collection[str]] | None = None  # the labels in focus, from all runs
    more: Callable[[Sequence[Curve]], Sequence[Curve]] = lambda _: ()  # from those that there are

    def __call__(self, scope: Scope) -> list[LineFigure]:
        """Return the figure."""
        runs = select(scope.runs, self.where)
        if not runs:
            return []
        focus = self.focus(runs) if self.focus else None
        curves = [
            self._curve(of, of.label.format(value), members, focus)
            for of in self.curves
            for value, members in by(select(runs, of.where), of.by).items()
        ]
        drawn = [curve for curve in curves if np.isfinite(curve.y).any()]
        texts = {name: scope.text(getattr(self, name)) for name in ("title", "x_label", "note")}
        axes = {of.name: getattr(self, of.name) for of in fields(Axes)} | texts
        return [LineFigure(**axes | {"part": scope.part}, curves=(*drawn, *self.more(drawn)))]

    def _curve(self, of: Curves, label: str, runs: Runs, focus: Collection[str] | None) -> Curve:
        points = {None: runs} if self.over is None else by(runs, self.over)
        parts = [_parts(of.y(members)) for members in points.values()]
        mean, low, high = (np.concatenate(part) for part in zip(*parts, strict=True))
        x: list[Any] = [*points] if self.over else [1 + np.arange(mean.size)]
        if self.x:
            x = [self.x(members) for members in points.values()]
        has_band = bool(np.isfinite(low).any())
        return Curve(
            label, np.hstack(x).astype(np.float64), mean,
            low if has_band else None, high if has_band else None,
            is_reference=of.is_reference, in_focus=focus is None or label in focus,
            detail=of.detail(runs),
        )  # fmt: skip


def _parts(found: Any) -> tuple[Floats, Floats, Floats]:
    """Return heights and what covers them, NaN where nothing does, each shape (points,)."""
    mean, low, high = found if isinstance(found, tuple) else (found, np.nan, np.nan)
    mean = np.atleast_1d(np.asarray(mean, dtype=np.float64))
    return mean, np.broadcast_to(low, mean.shape), np.broadcast_to(high, mean.shape)
