"""How contestants are measured side by side, and the table of the ratios."""

import gc
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Batch = Callable[[], float]
"""Runs once and returns seconds per operation."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    steps: int
    slow_steps: int
    warm_up: int
    instances: int
    replay_prefix: int


FULL = Effort(
    rounds=31, steps=20_480, slow_steps=256, warm_up=5_120, instances=30, replay_prefix=2_000
)
QUICK = Effort(rounds=3, steps=2_048, slow_steps=256, warm_up=1_024, instances=3, replay_prefix=300)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    what, theirs_name : str
    ours, theirs : float
        Median seconds per operation.
    ratio, ratio_min, ratio_max : float
        Their time over ours: median and range over the rounds.
    goal : float or None
        The smallest ratio that will do; None where there is no goal.
    note : str
    """

    what: str
    theirs_name: str
    ours: float
    theirs: float
    ratio: float
    ratio_min: float
    ratio_max: float
    goal: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the median reaches the goal."""
        if self.goal is None:
            return ""
        return "yes" if self.ratio >= self.goal else "no"


def interleave(batches: Sequence[Batch], rounds: int) -> list[list[float]]:
    """Run all batches in turn, `rounds` times; one list of times for each."""
    times: list[list[float]] = [[] for _ in batches]
    for _ in range(rounds):
        for batch, taken in zip(batches, times, strict=True):
            gc.collect()
            gc.disable()
            try:
                taken.append(batch())
            finally:
                gc.enable()
    return times


def compare(
    what: str,
    ours: Batch,
    theirs: Sequence[tuple[str, Batch, float | None]],
    rounds: int,
    note: str = "",
) -> list[Row]:
    """Measure ours against each of theirs, given with name and goal."""
    mine, *others = interleave([ours, *(batch for _, batch, _ in theirs)], rounds)
    rows = []
    for (name, _, goal), taken in zip(theirs, others, strict=True):
        ratios = [b / a for a, b in zip(mine, taken, strict=True)]
        mid, mid_theirs, mid_ratio = map(statistics.median, (mine, taken, ratios))
        rows.append(
            Row(what, name, mid, mid_theirs, mid_ratio, min(ratios), max(ratios), goal, note)
        )
    return rows


def format_time(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s"


def format_ratio(ratio: float) -> str:
    """Three digits, never in scientific notation."""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.3g}"


def format_table(rows: Sequence[Row]) -> str:
    """Markdown, so that it can be pasted."""
    lines = [
        "| what | ours | against | theirs | ratio | range | goal | reached |",
        "|---|---:|---|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        goal = "" if row.goal is None else f"≥ {row.goal:,.0f}"
        span = f"{format_ratio(row.ratio_min)} to {format_ratio(row.ratio_max)}"
        cells = (
            row.what, format_time(row.ours), row.theirs_name, format_time(row.theirs),
            format_ratio(row.ratio), span, goal, row.verdict,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    notes = {row.what: row.note for row in rows if row.note}
    lines += ["", *(f"- {what}: {note}" for what, note in notes.items())]
    return "\n".join(lines)
