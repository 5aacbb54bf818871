"""What a study says: findings, tables and figures, as data. Reports draw them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Curve",
    "Figure",
    "HeatMap",
    "LineFigure",
    "Point",
    "PointFigure",
    "Summary",
    "Table",
]

Numbers = Sequence[float] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under column heads; numbers are formatted already."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """A line, with a band around it where `low` and `high` are given."""

    label: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    is_reference: bool = False


@dataclass(frozen=True, slots=True)
class LineFigure:
    """Curves over one axis; `level` is a horizontal line to compare with."""

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    log_x: bool = False
    log_y: bool = False
    level: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """A point with its label; `x_range` and `y_range` are intervals around it."""

    label: str
    x: float
    y: float
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class PointFigure:
    """Labelled points; `front` joins those that no other beats on both axes (more y, less x)."""

    title: str
    x_label: str
    y_label: str
    points: tuple[Point, ...]
    log_x: bool = False
    front: bool = False
    upright: float | None = None
    note: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class HeatMap:
    """Values in [0, 1] over columns and rows."""

    title: str
    x_label: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[Numbers, ...]
    note: str = ""


Figure = LineFigure | PointFigure | HeatMap


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that a study says.

    Attributes
    ----------
    title, question : str
    findings : tuple of str
        One sentence each, with the figures in it.
    tables : tuple of Table
    figures : tuple of Figure
    """

    title: str
    question: str
    findings: tuple[str, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
