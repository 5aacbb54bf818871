"""What a study shows: tables and figures, as data. Reports draw them.

Tables and figures of the same `part` stand together, under that heading. Where a figure holds many
curves or points, those that are not `in_focus` are drawn in grey, behind the others.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[float] | NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column heads; numbers are formatted already."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    heads: tuple[tuple[str, int], ...] = ()  # over several columns, from the left: text, how many
    best: frozenset[tuple[int, int]] = frozenset()  # cells to mark: row and column, from 0
    part: str = ""

    def full_columns(self) -> list[str]:
        """Return the columns' heads, each with the one above it."""
        above = [text for text, span in self.heads for _ in range(span)]
        pairs = zip(above or [""] * len(self.columns), self.columns, strict=True)
        return [f"{head}: {column}" if head else column for head, column in pairs]


@dataclass(frozen=True, eq=False, slots=True)
class Axes:
    """What figures with two axes have in common."""

    title: str
    x_label: str
    y_label: str
    _: KW_ONLY
    log_x: bool = False
    log_y: bool = False
    level: float | None = None  # of a horizontal line to compare with
    y_range: Range | None = None  # what is shown where a few would squeeze the others
    note: str = ""
    part: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """A line, with a band around it where `low` and `high` are given; gaps are NaN.

    A reference is no result: a slope to compare with, a fit. Curves of the same label look alike in
    all figures; `detail` is written after the label, and differs from figure to figure.
    """

    label: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    is_reference: bool = False
    in_focus: bool = True
    detail: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class LineFigure(Axes):
    """Curves over one axis."""

    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """A point with its label; `x_range` and `y_range` are intervals around it."""

    label: str
    x: float
    y: float
    x_range: Range | None = None
    y_range: Range | None = None
    in_focus: bool = True


@dataclass(frozen=True, eq=False, slots=True)
class PointFigure(Axes):
    """Labelled points; `front` joins those that no other beats on both axes (more y, less x).

    `upright` is a vertical line to compare with. Points outside the ranges stand at the edge.
    """

    points: tuple[Point, ...]
    _: KW_ONLY
    front: bool = False
    upright: float | None = None
    x_range: Range | None = None


@dataclass(frozen=True, eq=False, slots=True)
class HeatMap:
    """Values in [0, `top`] over columns and rows; NaN where there can be none."""

    title: str
    x_label: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[Numbers, ...]
    note: str = ""
    top: float = 1.0
    value_label: str = "share of the queries"
    part: str = ""


Figure = LineFigure | PointFigure | HeatMap


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that a study shows, in order."""

    title: str
    question: str
    shown: tuple[Table | Figure, ...]

    @property
    def tables(self) -> list[Table]:
        """The tables."""
        return [item for item in self.shown if isinstance(item, Table)]

    @property
    def figures(self) -> list[Figure]:
        """The figures."""
        return [item for item in self.shown if not isinstance(item, Table)]

    @property
    def parts(self) -> list[str]:
        """Headings that tables and figures stand under; "" for none."""
        return list(dict.fromkeys(item.part for item in self.shown))
