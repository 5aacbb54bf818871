"""Studies into one page of HTML, which loads nothing and needs no script."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any, Final

import numpy as np

from stageroute.checks import require
from stageroute.errors import MissingExtraError
from stageroute.lab.page.drawing import draw, looks
from stageroute.lab.summary import Figure, HeatMap, LineFigure, Summary

__all__ = ["Section", "describe", "to_html"]

MOST_NAMED: Final = 8
"""How many curves, points or rows a description names."""


@dataclass(frozen=True, slots=True)
class Section:
    """A study as the page shows it.

    Parameters
    ----------
    summary : Summary
    settings : sequence of (str, str)
        What it ran under: names and values.
    command : str or None
        What runs it again.
    """

    summary: Summary
    settings: Sequence[tuple[str, str]] = ()
    command: str | None = None


def to_html(sections: Sequence[Section]) -> str:
    """Return the page; the same bytes for the same studies.

    Raises
    ------
    InvalidInputError
        If there is no section.
    MissingExtraError
        If jinja2, matplotlib or textalloc is not installed.
    """
    require(len(sections) > 0, "len(sections)", len(sections), "must be at least 1")
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("a page needs jinja2: pip install 'stageroute[lab]'") from error
    assert __package__
    environment = Environment(
        loader=PackageLoader(__package__, ""), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    return environment.get_template("page.html.jinja").render(
        title=sections[0].summary.title if len(sections) == 1 else "Studies",
        sections=[_view(section, f"study-{n}") for n, section in enumerate(sections, start=1)],
        css=files(__package__).joinpath("page.css").read_text(encoding="utf-8"),
        split=_split,
    )


def _view(section: Section, name: str) -> dict[str, Any]:
    """Return what the template calls by name: parts with rows of drawn figures, and tables."""
    summary, known = section.summary, looks(section.summary)
    parts = []
    for number, part in enumerate(summary.parts, start=1):
        key = f"{name}-part-{number}"
        figures = [
            {
                "name": f"{key}-figure-{n}",
                "figure": figure,
                "svg": draw(figure, known, f"{key}-figure-{n}"),
                "words": f"{figure.title}. {describe(figure)}",
                "is_map": isinstance(figure, HeatMap),
            }
            for n, figure in enumerate((f for f in summary.figures if f.part == part), start=1)
        ]
        # Maps are compared with each other, and so stand in rows of their own.
        rows = [list(row) for _, row in groupby(figures, key=lambda view: view["is_map"])]
        tables = [table for table in summary.tables if table.part == part]
        parts.append({"name": key, "title": part, "rows": rows, "tables": tables})
    return {"name": name, "summary": summary, "parts": parts, "made": section}


def _split(cell: str) -> tuple[str, str]:
    """Take a figure apart from its interval, as in "0.40 (0.32 to 0.48)"."""
    value, bracket, interval = cell.partition(" (")
    is_interval = bracket and interval.endswith(")") and " to " in interval
    return (value, interval[:-1]) if is_interval else (cell, "")


def describe(figure: Figure) -> str:
    """Say what a figure shows to those who do not see it: its axes, and the values at its ends."""
    if isinstance(figure, HeatMap):
        what = f"Heat map: {len(figure.rows)} rows over {len(figure.columns)} of {figure.x_label}."
        means = {
            row: float(np.nan_to_num(np.asarray(values, dtype=np.float64)).mean())
            for row, values in zip(figure.rows, figure.values, strict=True)
            if len(values)
        }
        order = sorted(means, key=lambda row: -means[row])
        return what + _named("Mean share", [f"{row} {means[row]:.0%}" for row in order])
    what = f"{figure.y_label} over {figure.x_label}."
    if isinstance(figure, LineFigure):
        ends = [(c.label, np.asarray(c.y, dtype=np.float64)) for c in figure.curves if c.in_focus]
        values = [f"{label} {y[np.isfinite(y)][-1]:.3g}" for label, y in ends if y[y == y].size]
        return f"Lines: {what}" + _named("At the end", values)
    order_of_points = sorted(figure.points, key=lambda point: -point.y)
    values = [f"{p.label} ({p.x:.3g}, {p.y:.3g})" for p in order_of_points if p.in_focus]
    return f"Points: {what}" + _named("From the top", values)


def _named(what: str, values: Sequence[str]) -> str:
    rest = len(values) - MOST_NAMED
    more = f", and {rest} more" if rest > 0 else ""
    return f" {what}: {', '.join(values[:MOST_NAMED])}{more}." if values else ""
