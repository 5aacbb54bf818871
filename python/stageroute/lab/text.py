"""A study's summary as text: for the terminal, and as Markdown for pages."""

from collections.abc import Sequence

from stageroute.lab.summary import Summary, Table

__all__ = ["aligned", "to_markdown", "to_text"]


def to_text(summary: Summary) -> str:
    """Return the tables for a terminal."""
    parts = [f"{summary.title}: {summary.question}"]
    parts += ["\n".join([table.title, *aligned(table), *_note(table)]) for table in summary.tables]
    return "\n\n".join(parts)


def to_markdown(summary: Summary) -> str:
    """Return the tables as a section of a page."""
    parts = [f"## {summary.title}", summary.question]
    for table in summary.tables:
        rule = "|".join(["---"] * len(table.columns))
        lines = [_row(_full_columns(table)), f"|{rule}|", *map(_row, _marked_rows(table))]
        parts += [f"**{table.title}**", "\n".join(lines), *_note(table)]
    return "\n\n".join(parts) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _full_columns(table: Table) -> list[str]:
    """Return the columns' heads, each with the one above it."""
    above = [text for text, span in table.heads for _ in range(span)] or [""] * len(table.columns)
    return [
        f"{head}: {column}" if head else column
        for head, column in zip(above, table.columns, strict=True)
    ]


def _marked_rows(table: Table) -> list[list[str]]:
    """Return the rows with the best cells in bold."""
    return [
        [f"**{cell}**" if (r, c) in table.best else cell for c, cell in enumerate(row)]
        for r, row in enumerate(table.rows)
    ]


def _note(table: Table) -> list[str]:
    return [table.note] if table.note else []


def aligned(table: Table) -> list[str]:
    """Return a table's lines: the first column to the left, the others to the right."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return [*_heads_above(table, widths), lines[0], rule, *lines[1:]]


def _heads_above(table: Table, widths: list[int]) -> list[str]:
    """Return the line of heads over several columns, each centred over its own."""
    if not table.heads:
        return []
    parts, first = [], 0
    for text, span in table.heads:
        room = sum(widths[first : first + span]) + 2 * (span - 1)
        parts.append(f" {text} ".center(room, "-") if text else " " * room)
        first += span
    return ["  ".join(parts).rstrip()]
