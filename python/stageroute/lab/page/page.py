"""Studies into one page of HTML, which loads nothing and needs no script."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from typing import Any, Final

import numpy as np

from stageroute.checks import import_extra, require
from stageroute.lab.page.drawing import draw, looks
from stageroute.lab.results import StudyResults
from stageroute.lab.summary import Figure, HeatMap, LineFigure, Summary

MOST_NAMED: Final = 8
"""How many curves, points or rows a description names."""


@dataclass(frozen=True, slots=True)
class Section:
    """A study as the page shows it."""

    summary: Summary
    settings: Sequence[tuple[str, str]] = ()  # what it ran under: names and values
    command: str | None = None  # what runs it again


def to_html(sections: Sequence[Section]) -> str:
    """Return the page; the same bytes for the same studies, of which there is at least one."""
    require(len(sections) > 0, "len(sections)", len(sections), "must be at least 1")
    jinja = import_extra("jinja2", "a page", "lab")
    environment = jinja.Environment(
        loader=jinja.PackageLoader(__package__, ""), autoescape=True, trim_blocks=True,
        undefined=jinja.StrictUndefined, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    page: str = environment.get_template("page.html.jinja").render(
        title=sections[0].summary.title if len(sections) == 1 else "Studies",
        sections=[_view(section, f"study-{n}") for n, section in enumerate(sections, start=1)],
        css=files(__package__).joinpath("page.css").read_text(encoding="utf-8"),
        split=_split,
    )
    return page


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
        means = [float(np.nan_to_num(np.asarray(row)).mean()) for row in figure.values]
        order = sorted(zip(means, figure.rows, strict=True), key=lambda pair: -pair[0])
        return what + _named("Mean share", [f"{row} {mean:.0%}" for mean, row in order])
    what = f"{figure.y_label} over {figure.x_label}."
    if isinstance(figure, LineFigure):
        ends = [(c.label, np.asarray(c.y)) for c in figure.curves if c.in_focus]
        values = [f"{label} {y[np.isfinite(y)][-1]:.3g}" for label, y in ends if y[y == y].size]
        return f"Lines: {what}" + _named("At the end", values)
    order_of_points = sorted(figure.points, key=lambda point: -point.y)
    values = [f"{p.label} ({p.x:.3g}, {p.y:.3g})" for p in order_of_points if p.in_focus]
    return f"Points: {what}" + _named("From the top", values)


def _named(what: str, values: Sequence[str]) -> str:
    rest = len(values) - MOST_NAMED
    more = f", and {rest} more" if rest > 0 else ""
    return f" {what}: {', '.join(values[:MOST_NAMED])}{more}." if values else ""


def settings_rows(results: StudyResults) -> list[tuple[str, str]]:
    """Return what a study ran under: names and values, in the order they were written down."""
    rows = [("study", results.study), ("version", f"stageroute {results.version}")]
    limits = {k: v for k, v in results.settings["limits"].items() if k != "budget"}
    # The study's budgets stand in place of that of its limits.
    rows += list(_flat(results.settings | {"limits": limits}, ""))
    rows.append(("episodes", f"{len(results.records):,}"))
    return rows


def _flat(values: dict[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        full = f"{above}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{full}, ")
        else:
            yield full, _text(value)


def _text(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case int():
            return f"{value:,}"
        case [int(first), _, *_, int(last)] if value == [*range(first, last + 1)]:
            return f"{first} to {last}"
        case list() | tuple():
            return ", ".join(map(_text, value))
    return str(value)
