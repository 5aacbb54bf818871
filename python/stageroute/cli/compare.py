"""``stageroute compare``: what changed between two runs of a study, for people and for CI."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from stageroute.cli.output import Json, check_writable, say
from stageroute.lab.compare import SIGNIFICANCE, Difference, RunComparison
from stageroute.lab.compare import compare as compare_figures
from stageroute.lab.figures import MEASURES, read_figures
from stageroute.tables import format_table

EXIT_WORSE: Final = 3

MOST_LISTED: Final = 8
"""More settings or rows than this are counted only; ``--json`` has all of them."""

COLUMNS: Final = ("row", "figure", "before", "after", "difference, 95 %", "p, Holm", "seeds")


def compare(before: Path, after: Path, /, *, json: Json = None) -> int:
    """Compare two runs of a study, row by row and paired by seed.

    Exit status: 0 if nothing got worse, 3 if something did.

    Parameters
    ----------
    before
        Folder of results, or a file of --figures or --json.
    after
        The same, of the other run.
    """
    check_writable(json)
    comparison = compare_figures(read_figures(before), read_figures(after))
    say(to_text(comparison), json, comparison.to_json)
    return EXIT_WORSE if comparison.of("worse") else 0


def to_text(comparison: RunComparison) -> str:
    """Return a short account: what differs, what got worse, what better, how much is the same."""
    settings = [f"{name}: {old!r} before, {new!r} after" for name, old, new in comparison.settings]
    parts = [
        *_listed("The runs differ in", settings),
        *_listed("Only before", [str(row) for row in comparison.only_before]),
        *_listed("Only after", [str(row) for row in comparison.only_after]),
    ]
    for verdict in ("worse", "better"):
        if changes := comparison.of(verdict):
            rows = tuple(_cells(change) for change in changes)
            parts.append(format_table((f"Got {verdict}", *COLUMNS[1:]), rows))
    parts.append(_counts(comparison))
    return "\n\n".join(parts)


def _listed(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    more = len(items) - MOST_LISTED
    rest = [f"  and {more} more"] if more > 0 else []
    return ["\n".join([f"{title}:", *(f"  {item}" for item in items[:MOST_LISTED]), *rest])]


def _cells(change: Difference) -> tuple[str, ...]:
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


def _counts(comparison: RunComparison) -> str:
    count = [f"{len(comparison.of(v))} {v}" for v in ("worse", "better", "same", "unclear")]
    text = (
        f"{len(comparison.changes)} comparisons: {', '.join(count)}. Worse and better: more than "
        f"the tolerance, and a corrected p of at most {SIGNIFICANCE:g} (so all of them are true "
        "with a probability of 95 %). Tolerances: "
        f"{', '.join(f'{measure.name} {measure.tolerance:g}' for measure in MEASURES)}."
    )
    if any(not change.seeds for change in comparison.changes):
        text += " Seeds 'other': none in common, so the samples are compared unpaired."
    if comparison.too_few_seeds():
        text += (
            f"\nToo few seeds: among {len(comparison.changes)} comparisons no difference can be "
            "shown for some rows; run more seeds."
        )
    return text
