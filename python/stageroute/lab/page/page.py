"""Studies into one page of HTML, which loads nothing and needs no script."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby
from operator import itemgetter
from typing import Any

from stageroute.checks import require
from stageroute.errors import MissingExtraError
from stageroute.lab.page.drawing import draw
from stageroute.lab.page.palette import COLOURS, Style, styles
from stageroute.lab.summary import Figure, HeatMap, Summary, Table

__all__ = ["Section", "to_html"]


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
        If jinja2 or matplotlib is not installed.
    """
    require(len(sections) > 0, "len(sections)", len(sections), "must be at least 1")
    views = [_section(section, f"study-{n}") for n, section in enumerate(sections, start=1)]
    is_single = len(sections) == 1
    return _render(
        title=sections[0].summary.title if is_single else "Studies",
        sections=views,
        links=_named_parts(views[0]) if is_single else [_link(view) for view in views],
        colours=COLOURS,
        css=_resource("page.css"),
    )


def _render(**values: object) -> str:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("a page needs jinja2: pip install 'stageroute[lab]'") from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    return environment.from_string(_resource("page.html.jinja")).render(values)


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


View = dict[str, Any]
"""What the template calls by name."""


def _section(section: Section, name: str) -> View:
    drawn = styles(section.summary)
    parts = [
        _part(section.summary, title, f"{name}-part-{n}", drawn)
        for n, title in enumerate(section.summary.parts, start=1)
    ]
    return {
        "name": name,
        "summary": section.summary,
        "parts": parts,
        "settings": section.settings,
        "command": section.command,
    }


def _link(section: View) -> View:
    return {
        "name": section["name"],
        "title": section["summary"].title,
        "parts": _named_parts(section),
    }


def _named_parts(section: View) -> list[View]:
    named = [part for part in section["parts"] if part["title"]]
    return [{"name": part["name"], "title": part["title"], "parts": []} for part in named]


def _part(summary: Summary, title: str, name: str, drawn: dict[str, Style]) -> View:
    figures = [figure for figure in summary.figures if figure.part == title]
    tables = [table for table in summary.tables if table.part == title]
    views = [_figure(figure, f"{name}-figure-{n}", drawn) for n, figure in enumerate(figures, 1)]
    return {
        "name": name,
        "title": title,
        # Maps are compared with each other, and so stand in rows of their own.
        "rows": [list(row) for _, row in groupby(views, key=itemgetter("is_map"))],
        "tables": [_table(table, f"{name}-table-{n}") for n, table in enumerate(tables, 1)],
    }


def _figure(figure: Figure, name: str, drawn: dict[str, Style]) -> View:
    return {
        "name": name,
        "title": figure.title,
        "note": _unbroken(figure.note),
        "svg": draw(figure, drawn, name),
        "is_map": isinstance(figure, HeatMap),
    }


def _table(table: Table, name: str) -> View:
    rows = [
        [_cell(cell, is_best=(r, c) in table.best) for c, cell in enumerate(row)]
        for r, row in enumerate(table.rows)
    ]
    return {
        "name": name,
        "title": table.title,
        "heads": table.heads,
        "columns": table.columns,
        "rows": rows,
        "note": _unbroken(table.note),
    }


def _minus(text: str) -> str:
    """Write numbers below 0 with a minus sign, which is as wide as a plus."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "\N{MINUS SIGN}", text)


def _unbroken(text: str) -> str:
    """Keep numbers on the line of their unit, and symbols on that of what they are compared to."""
    return re.sub(
        r"(?<=\d) (?=(?:%|USD|b)(?![a-z]))|(?<=\bb) (?== \d)|(?<=\bb =) (?=\d)",
        "\N{NO-BREAK SPACE}",
        text,
    )


def _cell(text: str, *, is_best: bool) -> View:
    """Take a figure apart from its interval, as in "0.40 (0.32 to 0.48)"."""
    value, bracket, interval = text.partition(" (")
    if bracket and interval.endswith(")") and " to " in interval:
        return {"value": _minus(value), "interval": _minus(interval[:-1]), "is_best": is_best}
    return {"value": _minus(text), "interval": "", "is_best": is_best}
