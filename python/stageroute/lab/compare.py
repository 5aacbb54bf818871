"""What changed between two runs of a study, beyond noise.

For every row (workload, cell, budget, policy) and every figure: the mean difference, paired by seed
where the runs share seeds; an interval that covers it with 95 % (bootstrap over seeds); a p-value
(permutation test), which Holm's method makes hold for all of them together. The verdict is

    worse, better   the corrected p-value is at most 0.05, and the difference exceeds its tolerance
    same            the interval lies within the tolerance
    unclear         anything else: too few seeds, or too much noise
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.errors import ResultsError
from stageroute.lab.figures import Figures, Row
from stageroute.lab.intervals import covering
from stageroute.lab.results import differences
from stageroute.lab.significance import (
    difference_of_means,
    holm,
    least_paired_p,
    paired_p_values,
    unpaired_p_values,
)

__all__ = ["MEASURES", "SIGNIFICANCE", "Difference", "Measure", "RunComparison", "compare"]

FORMAT: Final = 1
"""Of the JSON."""

SIGNIFICANCE: Final = 0.05
"""Probability of calling anything worse or better where nothing changed."""

Floats = NDArray[np.float64]


def _as_it_is(values: Floats) -> Floats:
    return values


def _above_budget(values: Floats) -> Floats:
    return np.maximum(values - 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Measure:
    """How a figure is judged.

    Parameters
    ----------
    name : str
        How reports call it.
    tolerance : float
        A smaller difference of its mean is of no practical relevance.
    sign : {1, -1}
        Of a change for the worse.
    of : callable
        What of the figure is judged.
    """

    name: str
    tolerance: float
    sign: int = 1
    of: Callable[[Floats], Floats] = _as_it_is


MEASURES: Final = (
    Measure("regret", 0.002),
    Measure("spend above b", 0.005, of=_above_budget),
    Measure("worst running spend above b", 0.02, of=_above_budget),
    Measure("reward", 0.002, sign=-1),
    Measure("largest stage violation", 0.05),
    Measure("starts", 2.0),
)
"""One for each of `FIGURES`. To spend less than b is neither better nor worse: reward tells."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of a row, before and after.

    Attributes
    ----------
    row : Row
    figure : str
        Name of its measure.
    before, after : float
        Means over the seeds.
    low, high : float
        What covers the difference of the means (after - before) with 95 %.
    p_value : float
        Corrected for all comparisons.
    seeds : int
        How many are in common; 0 where the two samples were compared as such.
    verdict : {"worse", "better", "same", "unclear"}
    """

    row: Row
    figure: str
    before: float
    after: float
    low: float
    high: float
    p_value: float
    seeds: int
    verdict: str


@dataclass(frozen=True, eq=False, slots=True)
class RunComparison:
    """What changed between two runs.

    Attributes
    ----------
    settings : tuple of (str, value, value)
        Name, before and after of what the runs differ in, version and study included.
    only_before, only_after : tuple of Row
        Rows that exist in one of them.
    changes : tuple of Difference
    """

    settings: tuple[tuple[str, Any, Any], ...]
    only_before: tuple[Row, ...]
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
    """Compare two runs row by row.

    Raises
    ------
    ResultsError
        If they have no row in common.
    """
    common = [row for row in before.rows if row in after.rows]
    if not common:
        raise ResultsError("the two have no row (workload, cell, budget, policy) in common")
    samples = [_sample(row, before.rows[row], after.rows[row]) for row in common]
    p_values = iter(holm(_p_values(samples)))
    return RunComparison(
        settings=tuple(differences(_header(before), _header(after))),
        only_before=tuple(row for row in before.rows if row not in after.rows),
        only_after=tuple(row for row in after.rows if row not in before.rows),
        changes=tuple(change for sample in samples for change in _changes(sample, p_values)),
    )


def _header(run: Figures) -> dict[str, Any]:
    return {"study": run.study, "version": run.version} | run.settings


def _sample(row: Row, before: dict[int, Any], after: dict[int, Any]) -> _Sample:
    seeds = [seed for seed in before if seed in after]
    old = _measures([before[seed] for seed in seeds or before])
    new = _measures([after[seed] for seed in seeds or after])
    return _Sample(row, old, new, len(seeds))


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


def _measures(values: list[tuple[float, ...]]) -> Floats:
    columns = np.array(values, dtype=np.float64).T
    return np.stack([m.of(column) for m, column in zip(MEASURES, columns, strict=True)], axis=1)


def _changes(sample: _Sample, p_values: Iterator[float]) -> Iterator[Difference]:
    if sample.seeds:
        low, high = covering(np.mean, sample.after - sample.before)
    else:
        low, high = covering(difference_of_means, sample.after, sample.before)
    for number, measure in enumerate(MEASURES):
        before, after = (float(x[:, number].mean()) for x in (sample.before, sample.after))
        interval, p_value = (float(low[number]), float(high[number])), next(p_values)
        yield Difference(
            row=sample.row,
            figure=measure.name,
            before=before,
            after=after,
            low=interval[0],
            high=interval[1],
            p_value=p_value,
            seeds=sample.seeds,
            verdict=_verdict(measure, after - before, interval, p_value),
        )


def _verdict(
    measure: Measure, difference: float, interval: tuple[float, float], p_value: float
) -> str:
    if p_value <= SIGNIFICANCE and abs(difference) > measure.tolerance:
        return "worse" if measure.sign * difference > 0.0 else "better"
    is_within = max(map(abs, interval)) <= measure.tolerance
    return "same" if is_within else "unclear"
