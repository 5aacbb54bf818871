"""A study's summary as text: for the terminal, and as Markdown for pages."""

from collections.abc import Sequence

from stageroute.lab.results import StudyResults
from stageroute.lab.summary import Summary, Table
from stageroute.tables import format_table
from stageroute.workloads import workload_from_json


def settings_text(results: StudyResults) -> str:
    """Return the most important settings that a study ran under."""
    settings, limits = results.settings, results.settings["limits"]
    confidence, pacing = limits["confidence"], limits["pacing_horizon"]
    return (
        f"{workload_from_json(settings['workload']).label}: "
        f"T = {settings['num_queries']:,} queries, K = {settings['num_stages']} stages, "
        f"{len(settings['seeds'])} seeds from {settings['seeds'][0]}\n"
        f"M_max = {limits['max_deployed']}, throughput cap = {limits['throughput_cap']}, "
        f"confidence = {confidence['family']} (gamma {confidence['gamma']:g}, growth "
        f"{confidence['growth']:g}, {confidence['min_visits']} forced visits), pacing = "
        f"{'off' if pacing is None else f'{pacing:g} queries'}, prices "
        f"{'known' if limits['use_prices'] else 'unknown'}; solver {limits['solver']}; "
        f"stageroute {results.version}"
    )


def to_text(summary: Summary) -> str:
    """Return the tables for a terminal."""
    parts = [f"{summary.title}: {summary.question}"]
    for table in summary.tables:
        aligned = format_table(table.columns, table.rows, heads=table.heads)
        parts.append("\n".join([table.title, aligned, *_note(table)]))
    return "\n\n".join(parts)


def to_markdown(summary: Summary) -> str:
    """Return the tables as a section of a page."""
    parts = [f"## {summary.title}", summary.question]
    for table in summary.tables:
        rule = "|".join(["---"] * len(table.columns))
        lines = [_row(table.full_columns()), f"|{rule}|", *map(_row, _marked_rows(table))]
        parts += [f"**{table.title}**", "\n".join(lines), *_note(table)]
    return "\n\n".join(parts) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _marked_rows(table: Table) -> list[list[str]]:
    """Return the rows with the best cells in bold."""
    return [
        [f"**{cell}**" if (r, c) in table.best else cell for c, cell in enumerate(row)]
        for r, row in enumerate(table.rows)
    ]


def _note(table: Table) -> list[str]:
    return [table.note] if table.note else []
