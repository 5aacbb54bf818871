"""``stageroute compare``: what changed between two runs of a study, for people and for CI."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stageroute.cli_common import check_writable, write_json
from stageroute.lab.compare import MEASURES, SIGNIFICANCE, Change, Comparison, compare
from stageroute.lab.figures import Row, read_figures
from stageroute.lab.summary import Table
from stageroute.lab.text import aligned

__all__ = ["EXIT_WORSE", "register", "to_text"]

EXIT_WORSE: Final = 3

MOST_LISTED: Final = 8
"""More settings or rows than this are counted only; ``--json`` has all of them."""

COLUMNS: Final = ("row", "figure", "before", "after", "difference, 95 %", "p, Holm", "seeds")


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="say what changed between two runs of a study",
        description="Compare two runs of a study, row by row and paired by seed. Exit status: 0 if "
        f"nothing got worse, {EXIT_WORSE} if something did.",
    )
    parser.set_defaults(run=_run)
    what = "folder of results, or a file of --figures or --json"
    parser.add_argument("before", type=Path, help=what)
    parser.add_argument("after", type=Path, help=what)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, for machines")


def _run(options: argparse.Namespace) -> int:
    check_writable(options.json)
    comparison = compare(read_figures(options.before), read_figures(options.after))
    print(to_text(comparison))
    write_json(options.json, comparison.to_json())
    return EXIT_WORSE if comparison.of("worse") else 0


def to_text(comparison: Comparison) -> str:
    """Return a short account: what differs, what got worse, what better, how much is the same."""
    settings = [f"{name}: {old!r} before, {new!r} after" for name, old, new in comparison.settings]
    parts = [
        *_listed("The runs differ in", settings),
        *_listed("Only before", _names(comparison.only_before)),
        *_listed("Only after", _names(comparison.only_after)),
    ]
    for verdict in ("worse", "better"):
        if changes := comparison.of(verdict):
            rows = tuple(_cells(change) for change in changes)
            parts.append("\n".join(aligned(Table("", (f"Got {verdict}", *COLUMNS[1:]), rows))))
    parts.append(_counts(comparison))
    return "\n\n".join(parts)


def _names(rows: Sequence[Row]) -> list[str]:
    return [str(row) for row in rows]


def _listed(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = len(items) - MOST_LISTED
    rest = [f"  and {more} more"] if more > 0 else []
    return ["\n".join([f"{title}:", *(f"  {item}" for item in items[:MOST_LISTED]), *rest])]


def _cells(change: Change) -> tuple[str, ...]:
    difference = change.after - change.before
    return (
        str(change.row),
        change.figure,
        f"{change.before:.4f}",
        f"{change.after:.4f}",
        f"{difference:+.4f} ({change.low:+.4f} to {change.high:+.4f})",
        f"{change.p_value:.4f}",
        f"{change.seeds}" if change.seeds else "other",
    )


def _counts(comparison: Comparison) -> str:
    count = {
        verdict: len(comparison.of(verdict)) for verdict in ("worse", "better", "same", "unclear")
    }
    text = (
        f"{len(comparison.changes)} comparisons: "
        + ", ".join(f"{number} {verdict}" for verdict, number in count.items())
        + f". Worse and better: more than the tolerance, and a corrected p of at most "
        f"{SIGNIFICANCE:g} (so all of them are true with a probability of 95 %). Tolerances: "
        + ", ".join(f"{measure.name} {measure.tolerance:g}" for measure in MEASURES)
        + "."
    )
    if any(not change.seeds for change in comparison.changes):
        text += " Seeds 'other': none in common, so the samples are compared unpaired."
    if comparison.too_few_seeds():
        text += (
            f"\nToo few seeds: among {len(comparison.changes)} comparisons no difference can be "
            "shown for some rows; run more seeds."
        )
    return text
