"""One policy against each of the others, cell by cell, paired by seed."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from stageroute.lab.columns import column, mean, median, regret, worst
from stageroute.lab.declared import Scope
from stageroute.lab.results import Run, Runs, by, group
from stageroute.lab.summary import Table

OURS: Final = "stageroute"

KNOWING: Final = ("oracle", "static", "clairvoyant")
"""Policies that are told what others must learn."""

WITHIN_BUDGET: Final = 1.01
"""A policy keeps to the budget if its mean spend / b over the seeds is no more."""

WITHIN_CAPS: Final = 0.1
"""A policy keeps to the caps if the largest share of a model in 1,000 queries exceeds its cap by no
more, mean over the seeds. Drawing from a mixture that respects them ends at a few hundredths."""

MARGIN: Final = 0.2
"""A smaller difference of regret, in points, does not matter."""

ERRORS: Final = 2.0
"""Standard errors that are taken for noise."""

VERDICTS: Final = ("better", "level", "worse")

NOTE: Final = (
    "Charged regret, %, over the budgets and seeds of a case; spend: the largest spend / b at the "
    f"end. The others are those whose mean spend is at most {WITHIN_BUDGET} b, whose largest share "
    f"in 1,000 queries is at most {WITHIN_CAPS} above its cap on average, and that are told "
    "nothing which StageRoute is not."
)

COUNTED: Final = (
    "Charged regret, in points of %, paired by seed, in the cells in which a policy keeps to the "
    f"limits. Better: by more than {MARGIN} points and {ERRORS:g} standard errors; worse likewise."
)


@dataclass(frozen=True, slots=True)
class Duel:
    """StageRoute against another policy in one cell: charged regret, in points."""

    cell: str
    who: str
    ours: float
    other: float
    error: float  # standard error of the difference, paired by seed

    @property
    def lead(self) -> float:
        """By how much the other is better."""
        return self.ours - self.other

    @property
    def verdict(self) -> str:
        """Whether the other is better or worse, beyond margin and noise; else level."""
        if abs(self.lead) <= max(MARGIN, ERRORS * self.error):
            return "level"
        return "better" if self.lead > 0.0 else "worse"


def keeps_to_limits(runs: Runs) -> bool:
    """Whether a policy keeps to budget and caps, and is told nothing that others must learn."""
    return bool(
        runs[0]["policy"] not in KNOWING
        and column(runs, "spend").mean() <= WITHIN_BUDGET
        and column(runs, "largest_cap_excess").mean() <= WITHIN_CAPS
    )


def duels(runs: Runs) -> Iterator[Duel]:
    """Yield StageRoute against everyone else that keeps to the limits in a cell, in each cell."""
    for (case, level, slots), cell in group(runs, "case", "level", _slots).items():
        name = f"{case}, {level}" if slots is None else f"{case}, M_max = {slots}, {level}"
        players = by(cell, "who")
        ours = {run["seed"]: regret(run) for run in players.pop(OURS, ())}
        for who, others in players.items():
            pairs = np.array([(ours[s], regret(o)) for o in others if (s := o["seed"]) in ours])
            if len(pairs) > 1 and keeps_to_limits(others):
                mine, theirs = pairs.T
                error = np.std(mine - theirs, ddof=1) / math.sqrt(len(pairs))
                yield Duel(name, who, float(mine.mean()), float(theirs.mean()), float(error))


def _slots(run: Run) -> int | None:
    slots: int | None = run.get("M_max")
    return slots


# ---- tables -------------------------------------------------------------------------------------


def at_a_glance(scope: Scope) -> list[Table]:
    """Show StageRoute in every case, and the best of the others that keep to the limits."""
    figures = {
        "mean": mean(regret),
        "median": median(regret),
        "worst": worst(regret, ".1f"),
        "spend": worst("spend", ".3f"),
    }
    rows = []
    for case, runs in by(scope.runs, "case").items():
        players = by(runs, "who")
        ours = players.pop(OURS, None)
        kept = {who: of for who, of in players.items() if keeps_to_limits(of)}
        best = min(kept, key=lambda who: column(kept[who], regret).mean(), default=None)
        shown = [ours, kept[best] if best else None]
        cells = [[say(of) if of else "-" for say in figures.values()] for of in shown]
        rows.append((case, *cells[0], best or "-", *cells[1]))
    heads = (("", 1), (OURS, len(figures)), ("best of the others", 1 + len(figures)))
    columns = ("case", *figures, "policy", *figures)
    return [Table("StageRoute and the best of the others", columns, tuple(rows), NOTE, heads)]


def against_each(scope: Scope) -> list[Table]:
    """Count in how many cells each policy is better, level and worse."""
    met: dict[str, list[Duel]] = {}
    for duel in duels(scope.runs):
        met.setdefault(duel.who, []).append(duel)
    rows = [
        (
            who, str(len(of)),
            *(str(sum(duel.verdict == verdict for duel in of)) for verdict in VERDICTS),
            f"{np.mean([duel.lead for duel in of]):+.2f}",
        )
        for who, of in met.items()
    ]  # fmt: skip
    columns = ("policy", "cells", *VERDICTS, "mean lead")
    return [Table("Others against StageRoute", columns, tuple(rows), COUNTED)] if rows else []


def where_another_is_better(scope: Scope) -> list[Table]:
    """Show the cells in which another policy is better, and by how much."""
    found = [duel for duel in duels(scope.runs) if duel.verdict == "better"]
    rows = [
        (d.cell, d.who, f"{d.ours:.2f}", f"{d.other:.2f}", f"{d.lead:.2f}", f"{d.error:.2f}")
        for d in sorted(found, key=lambda duel: -duel.lead)
    ]
    columns = ("cell", "policy", OURS, "it", "lead", "± error")
    return [Table("Where another policy is better", columns, tuple(rows), COUNTED)] if rows else []
