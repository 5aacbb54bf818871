"""What changed between two runs of a study, beyond noise.

For every row (workload, cell, budget, policy) and every figure: the mean difference, paired by seed
where the runs share seeds; an interval that covers it with 95 % (bootstrap over seeds); a p-value
(permutation test), which Holm's method makes hold for all of them together. The verdict is

    worse, better   the corrected p-value is at most 0.05, and the difference exceeds its tolerance
    same            the interval lies within the tolerance
    unclear         anything else: too few seeds, or too much noise
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from stageroute.errors import ResultsError
from stageroute.lab.figures import MEASURES, Figures, Measure, Row
from stageroute.lab.results import differences
from stageroute.lab.statistics import (
    Floats,
    covering,
    difference_of_means,
    holm,
    least_paired_p,
    paired_p_values,
    unpaired_p_values,
)

FORMAT: Final = 1
"""Of the JSON."""

SIGNIFICANCE: Final = 0.05
"""Probability of calling anything worse or better where nothing changed."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a row, before and after."""

    row: Row
    figure: str  # name of its measure
    before: float  # mean over the seeds
    after: float
    low: float  # what covers the difference of the means (after - before) with 95 %
    high: float
    p_value: float  # corrected for all comparisons
    seeds: int  # how many are in common; 0 where the two samples were compared as such
    verdict: str  # worse, better, same, unclear


@dataclass(frozen=True, eq=False, slots=True)
class RunComparison:
    """What changed between two runs."""

    settings: tuple[tuple[str, Any, Any], ...]  # what the runs differ in: name, before, after
    only_before: tuple[Row, ...]  # rows that exist in one of them
    only_after: tuple[Row, ...]
    changes: tuple[Difference, ...]

    def of(self, verdict: str) -> list[Difference]:
        """Return the changes with this verdict."""
        return [change for change in self.changes if change.verdict == verdict]

    def too_few_seeds(self) -> bool:
        """Whether some row has too few seeds to show a difference among this many comparisons."""
        seeds = [change.seeds for change in self.changes if change.seeds]
        return bool(seeds) and least_paired_p(min(seeds)) * len(self.changes) > SIGNIFICANCE

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "format": FORMAT,
            "significance": SIGNIFICANCE,
            "tolerances": {measure.name: measure.tolerance for measure in MEASURES},
            "verdicts": Counter(change.verdict for change in self.changes),
            "settings": [
                {"name": name, "before": old, "after": new} for name, old, new in self.settings
            ],
            "only_before": [row._asdict() for row in self.only_before],
            "only_after": [row._asdict() for row in self.only_after],
            "changes": [asdict(change) | {"row": change.row._asdict()} for change in self.changes],
        }


@dataclass(frozen=True, slots=True)
class _Sample:
    """One row's measures in both runs, shapes (seeds, measures), paired where `seeds` is not 0."""

    row: Row
    before: Floats
    after: Floats
    seeds: int


def compare(before: Figures, after: Figures) -> RunComparison:
    """Compare two runs row by row; a `ResultsError` says that they have no row in common."""
    common = [row for row in before.rows if row in after.rows]
    if not common:
        raise ResultsError("the two have no row (workload, cell, budget, policy) in common")
    samples = [_sample(row, before.rows[row], after.rows[row]) for row in common]
    p_values = iter(holm(_p_values(samples)))
    old, new = (
        {"study": run.study, "version": run.version} | run.settings for run in (before, after)
    )
    return RunComparison(
        settings=tuple(differences(old, new)),
        only_before=tuple(row for row in before.rows if row not in after.rows),
        only_after=tuple(row for row in after.rows if row not in before.rows),
        changes=tuple(change for sample in samples for change in _changes(sample, p_values)),
    )


def _sample(row: Row, before: dict[int, Any], after: dict[int, Any]) -> _Sample:
    seeds = [seed for seed in before if seed in after]
    old, new = ([of[seed] for seed in seeds or of] for of in (before, after))
    return _Sample(row, _measures(old), _measures(new), len(seeds))


def _measures(values: list[tuple[float, ...]]) -> Floats:
    found = np.array(values, dtype=np.float64)
    is_above = [measure.is_above_budget for measure in MEASURES]
    return np.where(is_above, np.maximum(found - 1.0, 0.0), found)


def _p_values(samples: list[_Sample]) -> list[float]:
    """Test every measure of every row; rows with the same number of seeds at once."""
    shapes = [(len(sample.before), len(sample.after), sample.seeds) for sample in samples]
    found = np.empty((len(samples), len(MEASURES)))
    for shape in set(shapes):
        members = [k for k in range(len(samples)) if shapes[k] == shape]
        old = np.concatenate([samples[k].before for k in members], axis=1)
        new = np.concatenate([samples[k].after for k in members], axis=1)
        p_values = paired_p_values(new - old) if shape[2] else unpaired_p_values(old, new)
        found[members] = p_values.reshape(len(members), -1)
    return [float(p_value) for p_value in found.ravel()]


def _changes(sample: _Sample, p_values: Iterator[float]) -> Iterator[Difference]:
    if sample.seeds:
        ends = covering(np.mean, sample.after - sample.before)
    else:
        ends = covering(difference_of_means, sample.after, sample.before)
    for number, measure in enumerate(MEASURES):
        before, after = (float(x[:, number].mean()) for x in (sample.before, sample.after))
        low, high = (float(end[number]) for end in ends)
        p_value = next(p_values)
        verdict = _verdict(measure, after - before, max(abs(low), abs(high)), p_value)
        yield Difference(
            sample.row, measure.name, before, after, low, high, p_value, sample.seeds, verdict
        )


def _verdict(measure: Measure, difference: float, farthest: float, p_value: float) -> str:
    if p_value <= SIGNIFICANCE and abs(difference) > measure.tolerance:
        return "worse" if measure.sign * difference > 0.0 else "better"
    return "same" if farthest <= measure.tolerance else "unclear"
