"""What the scaling study says: exponents, what regret is made of, pictures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from stageroute.lab.columns import column
from stageroute.lab.episodes import Record
from stageroute.lab.intervals import Floats, bands, mean_interval
from stageroute.lab.power_law import PowerLaw, fit_power_law
from stageroute.lab.results import StudyResults
from stageroute.lab.summary import Curve, Figure, LineFigure, Summary, Table

__all__ = ["CUBE_ROOT", "FIXED", "GUESSING", "SQUARE_ROOT", "summarise"]

CUBE_ROOT, SQUARE_ROOT, FIXED = "T^(1/3)", "T^(1/2)", "fixed"
"""Rules for K."""

THEORY: Final = 2.0 / 3.0
"""Exponent of the upper and of the lower bound (Li & Li 2026)."""

CLOSE: Final = 0.02
"""An exponent within this of the theory's agrees with it: needles come in whole rows, and K too."""

VAGUE: Final = 0.5
"""An interval wider than this says nothing."""

SMALLEST: Final = 1_000
ASYMPTOTIC_FROM: Final = 100_000
"""From this T on, the exponent is fitted once more: below, the first visits weigh most."""

GUESSING: Final = "uniform"
"""What learns nothing."""

QUANTITIES: Final = ("learning", "learning, money priced", "waiting", "in all")

NOTE: Final = (
    "Exponents x of T^x, by least squares through the logarithms of the mean over seeds; in "
    "brackets what covers them with 95 %. Learning: total regret of expected rewards against the "
    "stage oracle, which deploys at the same boundaries. Money priced: with what was spent beyond "
    "b T charged at the oracle's price, so that overspending cannot hide regret. "
    "Waiting: what the stage oracle itself loses because arrivals wait for a boundary; no policy "
    "can avoid it. In all: learning, money priced, and waiting, which is what the theory bounds. "
    "A dash: not positive somewhere, so that there is no exponent."
)


def summarise(results: StudyResults, question: str) -> Summary:
    """Fit exponents for every instance."""
    labels = results.distinct("instance")
    first, *others = (table for label in labels for table in _tables(results, label))
    return Summary(
        title="Scaling of regret",
        question=question,
        findings=tuple(text for label in labels for text in _findings(results, label)),
        tables=(replace(first, note=NOTE), *others),
        figures=tuple(figure for label in labels for figure in _figures(results, label)),
    )


def quantity(records: Sequence[Record], name: str) -> Floats:
    """Return one of `QUANTITIES` of every record."""
    learning = column(records, "total_regret")
    if name == "learning":
        return learning
    if name == "waiting":
        return column(records, "waiting_cost")
    priced = learning + column(records, "overspend_charge")
    return priced if name == "learning, money priced" else priced + column(records, "waiting_cost")


def _by_length(results: StudyResults, label: str, rule: str, policy: str) -> list[list[Record]]:
    records = results.of(instance=label, rule=rule, policy=policy)
    sizes = sorted({record.num_queries for record in records})
    return [[record for record in records if record.num_queries == size] for size in sizes]


def _fit(groups: Sequence[Sequence[Record]], name: str, smallest: int) -> PowerLaw | None:
    used = [group for group in groups if group[0].num_queries >= smallest]
    if len(used) < 2:
        return None
    samples = [quantity(group, name) for group in used]
    return fit_power_law([group[0].num_queries for group in used], samples)


def _tables(results: StudyResults, label: str) -> list[Table]:
    sizes = {record.num_queries for record in results.of(instance=label)}
    starts = [SMALLEST, ASYMPTOTIC_FROM]
    return [
        _exponents(results, label, start)
        for start in starts
        if len([size for size in sizes if size >= start]) >= 2
    ] + [_regret(results, label)]


def _exponents(results: StudyResults, label: str, smallest: int) -> Table:
    rows = []
    for rule in results.distinct("rule"):
        for policy in results.distinct("policy"):
            groups = _by_length(results, label, rule, policy)
            if not groups:
                continue
            fits = [_fit(groups, name, smallest) for name in QUANTITIES]
            cells = ["-" if fit is None else fit.exponent.text() for fit in fits]
            largest = groups[-1][0].num_queries
            rows.append((policy, _rule_text(rule, results), f"{largest:,}", *cells))
    title = f"Exponents, {label}, from T = {smallest:,} on"
    return Table(title, ("policy", "K", "largest T", *QUANTITIES), tuple(rows), part=label)


def _regret(results: StudyResults, label: str) -> Table:
    policies = results.distinct("policy")
    rows = []
    columns = [_by_length(results, label, CUBE_ROOT, policy) for policy in policies]
    for groups in zip(*columns, strict=True):
        first = groups[0][0]
        regrets = [mean_interval(quantity(group, "in all")).text(0) for group in groups]
        shares = quantity(groups[0], "waiting").mean()
        floor = first.cell_values.get("lower bound")
        rows.append(
            (
                f"{first.num_queries:,}", str(first.num_stages), str(len(groups[0])), *regrets,
                f"{shares:.0f}", f"{floor:.0f}" if floor else "-",
            )
        )  # fmt: skip
    columns_named = ("T", "K", "seeds", *policies, "of it waiting", "lower bound")
    note = (
        "Regret in all, in rewards: learning, money priced, and waiting, mean over the seeds. "
        "Lower bound: what no learner can stay below on average, where the construction has one."
    )
    return Table(
        f"Regret with K = {CUBE_ROOT}, {label}", columns_named, tuple(rows), note, part=label
    )


def _rule_text(rule: str, results: StudyResults) -> str:
    return str(results.settings["num_stages"]) if rule == FIXED else rule


def _findings(results: StudyResults, label: str) -> list[str]:
    """Say how the regret in all grows, and which part of it decides that."""
    sizes = sorted({record.num_queries for record in results.of(instance=label)})
    smallest = ASYMPTOTIC_FROM if sizes[-1] > ASYMPTOTIC_FROM else sizes[0]
    learning = [policy for policy in results.distinct("policy") if policy != GUESSING]
    texts = []
    for policy in learning:
        texts.append(_growth(results, label, policy, smallest))
        texts += _other_rules(results, label, policy, smallest)
    return texts + _against_guessing(results, label, learning)


def _growth(results: StudyResults, label: str, policy: str, smallest: int) -> str:
    groups = _by_length(results, label, CUBE_ROOT, policy)
    largest = groups[-1][0].num_queries
    total, learned, waited = (
        _fit(groups, name, smallest) for name in ("in all", "learning, money priced", "waiting")
    )
    text = f"{label}, K = {CUBE_ROOT}, T = {smallest:,} to {largest:,}: {policy}'s regret "
    if total is None:
        return text + "is not positive throughout, and has no exponent."
    text += f"{_grows(total)}, {_against_theory(total)}"
    whole = _fit(groups, "in all", SMALLEST)
    if whole is not None and smallest > SMALLEST:
        text += f" (over all T as T^{whole.exponent.text()})"
    if learned is None or waited is None:
        return text + "."
    share = quantity(groups[-1], "waiting").sum() / quantity(groups[-1], "in all").sum()
    return (
        f"{text}; learning {_grows(learned)}, waiting for stage boundaries {_grows(waited)}, which "
        f"is {share:.0%} of the regret at the largest T."
    )


def _other_rules(results: StudyResults, label: str, policy: str, smallest: int) -> list[str]:
    """Say what other rules for K do to the regret in all."""
    parts = []
    for rule in (SQUARE_ROOT, FIXED):
        groups = _by_length(results, label, rule, policy)
        fit = _fit(groups, "in all", smallest) if groups else None
        if fit is not None:
            parts.append(f"{_grows(fit)} with K = {_rule_text(rule, results)}")
    return [f"{label}: {policy}'s regret {', and '.join(parts)}."] if parts else []


def _grows(fit: PowerLaw) -> str:
    return f"grows as T^{fit.exponent.text()}"


def _against_theory(fit: PowerLaw) -> str:
    low, high = fit.exponent.low, fit.exponent.high
    if high - low > VAGUE:
        return "too uncertain to be held against the T^(2/3) of the theory"
    if low > THEORY + CLOSE:
        return "faster than the T^(2/3) of the theory"
    if high < THEORY - CLOSE:
        return "slower than the T^(2/3) of the theory"
    return "in agreement with the T^(2/3) of the theory"


def _against_guessing(results: StudyResults, label: str, learning: Sequence[str]) -> list[str]:
    """Compare with the policy that learns nothing."""
    guesses = _by_length(results, label, CUBE_ROOT, GUESSING)
    if not guesses:
        return []
    fit = _fit(guesses, "in all", SMALLEST)
    grows = "has no exponent" if fit is None else _grows(fit)
    guessed = quantity(guesses[-1], "in all").mean()
    shares = [
        f"{policy} {quantity(groups[-1], 'in all').mean() / guessed:.1%}"
        for policy in learning
        if (groups := _by_length(results, label, CUBE_ROOT, policy))
    ]
    floor = guesses[-1][0].cell_values.get("lower bound")
    bound = f"; the lower bound is at {floor / guessed:.1%}" if floor else ""
    return [
        f"{label}: the regret of {GUESSING}, which learns nothing, {grows}; of what it loses at "
        f"T = {guesses[-1][0].num_queries:,}, the others lose {', '.join(shares)}{bound}."
    ]


def _figures(results: StudyResults, label: str) -> list[Figure]:
    policies = results.distinct("policy")
    curves = [_curve(results, label, CUBE_ROOT, policy, "in all") for policy in policies]
    figures: list[Figure] = [_figure(f"Regret in all, K = {CUBE_ROOT}", label, curves)]
    for policy in policies:
        rules = [rule for rule in results.distinct("rule") if results.of(instance=label, rule=rule)]
        if policy == GUESSING or len(rules) == 1:
            continue
        parts = [
            _curve(results, label, rule, policy, name, f"{text}, {_rule_text(rule, results)}")
            for rule in rules
            for name, text in (("learning, money priced", "learning"), ("waiting", "waiting"))
        ]
        figures.append(_figure(f"What regret is made of, by rule for K: {policy}", label, parts))
    return figures


def _figure(title: str, label: str, curves: Sequence[Curve]) -> LineFigure:
    drawn = tuple(curve for curve in curves if len(curve.x) > 0)
    reference = []
    if drawn:
        x = np.asarray(drawn[0].x)
        top = max(float(np.asarray(curve.y)[-1]) for curve in drawn)
        slope = top * (x / x[-1]) ** THEORY
        reference = [Curve("T^(2/3)", x, slope, is_reference=True)]
    return LineFigure(
        title, "T, queries", "reward lost", (*drawn, *reference), log_x=True, log_y=True,
        note="Straight lines are powers of T; dotted: the slope of the theory, T^(2/3).",
        part=label,
    )  # fmt: skip


def _curve(
    results: StudyResults, label: str, rule: str, policy: str, name: str, text: str = ""
) -> Curve:
    """Return the mean of a quantity over T where it is positive; labelled by its exponent."""
    groups = _by_length(results, label, rule, policy)
    if not groups:
        return Curve(text, [], [])
    fit = _fit(groups, name, SMALLEST)
    sizes = np.array([group[0].num_queries for group in groups], dtype=np.float64)
    mean, low, high = (
        np.array(values).ravel()
        for values in zip(*(bands(quantity(group, name)[:, None]) for group in groups), strict=True)
    )
    shown = (mean > 0) & (low > 0)
    # Parts have their exponents in the table: beside a line there is little room.
    detail = "" if fit is None or text else f"T^{fit.exponent.value:.2f}"
    return Curve(
        text or policy, sizes[shown], mean[shown], low[shown], high[shown], detail=detail
    )  # fmt: skip
