"""Evaluate a target policy on a log: estimates, intervals, and how far they can be trusted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stageroute.checks import number_in
from stageroute.errors import OverlapError
from stageroute.off_policy.data import LoggedData
from stageroute.off_policy.estimators import ESTIMATORS, Sample, estimate, running_means
from stageroute.off_policy.targets import Target, as_target

Floats = NDArray[np.float64]

MUCH_CARRIED: Final = 0.2
FEW_OBSERVATIONS: Final = 30
SMALL_SAMPLE: Final = 100.0
WEIGHTS_OFF: Final = 4.0  # standard errors by which a model's mean weight may miss what it must be
ROUNDING: Final = 1e-18


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value per query with its standard error and interval, in [0, 1] or USD as the outcome."""

    value: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class MetricEvaluation:
    """What a target would have earned, or spent, per query.

    Attributes
    ----------
    estimates : dict of str to Estimate
        By estimator: ``"ips"``, ``"snips"``, ``"dr"``, ``"adaptive_dr"``.
    decisions, without_outcome : int
        Decisions that the estimates are made from, and those left out as their outcome is unknown.
    effective_sample_size : float
        (Σ w)^2 / Σ w^2 of the weights w = v π / p of the models that served.
    largest_weight : float
        Largest π / p, before clipping.
    clipped : float
        Share of the decisions whose π / p was clipped.
    carried : float
        Share of the target's traffic at decisions where the log could not have drawn its model;
        valued like the model's other decisions (of the same group).
    notes : tuple of str
        What a reader must know before believing the estimates.
    """

    estimates: dict[str, Estimate]
    decisions: int
    without_outcome: int
    effective_sample_size: float
    largest_weight: float
    clipped: float
    carried: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A target policy, evaluated.

    Attributes
    ----------
    target : str
    first : int
        The first decision that it was evaluated on.
    mixture : dict of str to float
        See `Target`.
    level : float
        Level of the intervals.
    clip : float or None
        Largest weight allowed.
    reward, cost : MetricEvaluation or None
        None where the log has no outcomes of that kind.
    """

    target: str
    first: int
    mixture: dict[str, float]
    level: float
    clip: float | None
    reward: MetricEvaluation | None
    cost: MetricEvaluation | None

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def evaluate(
    data: LoggedData,
    policy: Target | Mapping[str, float] | ArrayLike | Callable[[LoggedData], ArrayLike],
    *,
    level: float = 0.95,
    clip: float | None = None,
) -> Evaluation:
    """Estimate what a policy would have earned and spent per query.

    Parameters
    ----------
    data : LoggedData
    policy : Target, mapping, array_like or callable
        See `as_target`.
    level : float, default 0.95
        Level of the intervals, in (0, 1).
    clip : float, optional
        Weights π / p are cut to this, above 0: less variance for a bias that intervals do not
        cover. Nothing is clipped by default.

    Raises
    ------
    InvalidInputError
        If an argument breaks its rule.
    OverlapError
        If the target uses a model (in a group) that the log has no outcome of.
    """
    number_in("(0, 1)")("level", level)
    if clip is not None:
        number_in("(0, inf)")("clip", clip, ", or None")
    target = as_target(data, policy)
    metrics = [_evaluate_metric(data, target, metric, level, clip) for metric in ("reward", "cost")]
    return Evaluation(target.name, target.first, target.mixture, level, clip, *metrics)


def _evaluate_metric(
    data: LoggedData, target: Target, metric: str, level: float, clip: float | None
) -> MetricEvaluation | None:
    outcome: Floats = getattr(data, metric)
    is_considered = np.arange(len(data)) >= target.first
    rows = np.flatnonzero(is_considered & ~np.isnan(outcome))
    if not rows.size:
        return None
    # π / p of the models that served.
    chosen = rows, data.arm[rows]
    ratio = target.probabilities[chosen] / data.probabilities[chosen]
    sample = _make_sample(
        data, target, outcome, rows, ratio if clip is None else ratio.clip(max=clip)
    )
    _require_overlap(data, target, metric, sample)
    half_width = NormalDist().inv_cdf(0.5 + level / 2.0)
    estimates = {}
    for estimator in ESTIMATORS:
        value, error = estimate(sample, estimator)
        low, high = value - half_width * error, value + half_width * error
        estimates[estimator] = Estimate(value, error, low, high)
    weight = (sample.target * sample.inverse).sum(axis=1)
    found = MetricEvaluation(
        estimates=estimates,
        decisions=rows.size,
        without_outcome=int(is_considered.sum()) - rows.size,
        effective_sample_size=float(weight.sum() ** 2 / np.square(weight).sum()),
        largest_weight=float(ratio.max()),
        clipped=0.0 if clip is None else float((ratio > clip).mean()),
        carried=float(sample.target[~sample.is_drawable].sum()),
        notes=(),
    )
    return replace(found, notes=tuple(_notes(found, sample, data.models, metric)))


def _make_sample(
    data: LoggedData, target: Target, outcome: Floats, rows: NDArray[np.intp], ratio: Floats
) -> Sample:
    """Take the decisions whose outcome is known; `ratio` is π / p, clipped if asked for."""
    is_chosen = data.arm[:, None] == np.arange(len(data.models))
    group = np.zeros(len(data), dtype=np.intp)
    if data.group is not None:
        group = np.unique(data.group, return_inverse=True)[1]
    policy = target.probabilities[rows]
    inverse = np.zeros_like(policy)
    np.divide(ratio[:, None], policy, out=inverse, where=is_chosen[rows] & (policy > 0.0))
    weights = np.ones(rows.size) if data.weights is None else data.weights[rows]
    return Sample(
        outcome=outcome[rows],
        logging=data.probabilities[rows],
        inverse=inverse,
        target=policy * (weights / weights.sum())[:, None],
        expected=running_means(outcome, is_chosen, group)[rows],
        group=group[rows],
    )


def _require_overlap(data: LoggedData, target: Target, metric: str, sample: Sample) -> None:
    masses = sample.by_cell(sample.target)
    is_missing = (masses > 0.0) & (sample.by_cell(sample.inverse) == 0.0)
    if not is_missing.any():
        return
    mass = float(masses[is_missing].sum())
    missing = tuple(data.models[arm] for arm in np.flatnonzero(is_missing.any(axis=0)))
    where = "" if data.group is None else " in some group: use coarser groups, or"
    raise OverlapError(
        f"target {target.name}: {mass:.1%} of its traffic goes to {', '.join(missing)}, of which "
        f"none of the {sample.outcome.size:,} decisions has a {metric}{where or ':'} leave out "
        "these models, or log with exploration",
        missing,
        mass,
    )


def _notes(
    found: MetricEvaluation, sample: Sample, models: tuple[str, ...], metric: str
) -> Iterator[str]:
    if found.without_outcome:
        yield (
            f"{found.without_outcome:,} decisions without a {metric} are left out; that is right "
            f"only if what is missing does not depend on the {metric}"
        )
    if found.carried > MUCH_CARRIED:
        yield (
            f"{found.carried:.0%} of the target's traffic is where the log could not have drawn "
            "its model; intervals do not cover what that may hide"
        )
    counts = (sample.inverse > 0.0).sum(axis=0)
    is_rare = (sample.target.sum(axis=0) > 0.0) & (counts < FEW_OBSERVATIONS)
    if is_rare.any():
        few = ", ".join(f"{models[arm]} ({counts[arm]})" for arm in np.flatnonzero(is_rare))
        yield f"fewer than {FEW_OBSERVATIONS} outcomes of {few}"
    if found.effective_sample_size < SMALL_SAMPLE:
        worth = f"{found.effective_sample_size:.0f} decisions of the target"
        yield f"the log is worth {worth}; intervals need more"
    if found.clipped:
        yield f"{found.clipped:.2%} of the weights were clipped: biased"
    elif (is_off := _is_off(sample)).any():
        yield (
            f"{', '.join(models[arm] for arm in np.flatnonzero(is_off))} served more, or less, "
            "often than the log's probabilities allow: these are not those of the draws, or "
            "outcomes are missing for some models more than for others; ips is wrong then, and "
            "snips the safest"
        )


def _is_off(sample: Sample) -> NDArray[np.bool_]:
    """Whether the weights of each model miss the mean that its probabilities give them."""
    drawable = sample.is_drawable
    difference = (sample.target * (sample.inverse - drawable)).sum(axis=0)
    inverse = 1.0 / np.where(drawable, sample.logging, 1.0)
    variance = (np.square(sample.target) * (inverse - 1.0)).sum(axis=0)
    is_off: NDArray[np.bool_] = np.square(difference) > WEIGHTS_OFF**2 * variance + ROUNDING
    return is_off
