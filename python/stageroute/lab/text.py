"""A study's summary as text: for the terminal, and as Markdown for pages."""

from collections.abc import Sequence

from stageroute.lab.summary import Summary, Table

__all__ = ["to_markdown", "to_text"]


def to_text(summary: Summary) -> str:
    """Return findings and tables for a terminal."""
    parts = [f"{summary.title}: {summary.question}"]
    parts += ["\n".join([table.title, *_aligned(table), *_note(table)]) for table in summary.tables]
    if summary.findings:
        parts.append("\n".join(f"* {finding}" for finding in summary.findings))
    return "\n\n".join(parts)


def to_markdown(summary: Summary) -> str:
    """Return findings and tables as a section of a page."""
    parts = [f"## {summary.title}", summary.question]
    if summary.findings:
        parts.append("\n".join(f"- {finding}" for finding in summary.findings))
    for table in summary.tables:
        rule = "|".join(["---"] * len(table.columns))
        lines = [_row(table.columns), f"|{rule}|", *map(_row, table.rows)]
        parts += [f"**{table.title}**", "\n".join(lines), *_note(table)]
    return "\n\n".join(parts) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _note(table: Table) -> list[str]:
    return [table.note] if table.note else []


def _aligned(table: Table) -> list[str]:
    """First column to the left, the others to the right."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[k]) for row in rows) for k in range(len(table.columns))]
    lines = [
        "  ".join(
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]]
