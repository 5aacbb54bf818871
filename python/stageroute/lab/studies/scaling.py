"""How regret grows with the number of queries, against the T^(2/3) of the theory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stageroute.lab.columns import column
from stageroute.lab.episodes import Episode, Record
from stageroute.lab.intervals import Floats, bands, mean_interval
from stageroute.lab.power_law import PowerLaw, fit_power_law
from stageroute.lab.results import StudyResults
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Curve, Figure, LineFigure, Summary, Table
from stageroute.workloads import NeedleArrivals, RandomArrivals, Workload

__all__ = ["Scaling"]

THEORY: Final = 2.0 / 3.0
"""Exponent of the upper and of the lower bound (Li & Li 2026)."""

SMALLEST: Final = 1_000
ASYMPTOTIC_FROM: Final = 100_000
"""From this T on, the exponent is fitted once more: below, the first visits weigh most."""

LARGEST_NEEDLE: Final = 1_000_000
"""Needles with T^(1/2) stages end here: a boundary takes milliseconds where models are many."""

CUBE_ROOT, SQUARE_ROOT, FIXED = "T^(1/3)", "T^(1/2)", "fixed"

QUANTITIES: Final = ("learning", "learning, money priced", "waiting", "in all")

NOTE: Final = (
    "Exponents x of T^x, by least squares through the logarithms of the mean over seeds; in "
    "brackets what covers them with 95 %. Learning: total regret of expected rewards against the "
    "stage oracle, which deploys at the same boundaries. Money priced: with every dollar above or "
    "below b charged or credited at the oracle's price, so that overspending cannot hide regret. "
    "Waiting: what the stage oracle itself loses because arrivals wait for a boundary; no policy "
    "can avoid it. In all: learning, money priced, and waiting, which is what the theory bounds. "
    "A dash: not positive somewhere, so that there is no exponent."
)


@dataclass(frozen=True)
class Instance:
    """What the regret is measured on."""

    label: str
    workload: Workload
    throughput_cap: float | None = None
    rules: tuple[str, ...] = (CUBE_ROOT, SQUARE_ROOT, FIXED)


class Scaling(Study):
    """Streams of 1,000 to 10,000,000 queries, with K following T by several rules."""

    name = "scaling"
    question = "Does regret grow as T^(2/3), and what of it does?"

    def settings(self) -> StudySettings:
        """Return the full setting. T is the longest stream; K counts where it is fixed."""
        return replace(
            super().settings(),
            budgets=(0.001,),
            policies=("stageroute-published", "stageroute", "uniform"),
            num_queries=10_000_000,
        )

    def small(self, settings: StudySettings) -> StudySettings:
        """Return the setting for tests."""
        return replace(super().small(settings), num_queries=10_000, num_stages=33)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every policy under every rule for K, the long streams first."""
        return [
            Episode(
                workload=instance.workload,
                policy=policy,
                limits=replace(
                    settings.at_budget(budget),
                    throughput_cap=instance.throughput_cap or settings.limits.throughput_cap,
                ),
                num_queries=num_queries,
                num_stages=num_stages(rule, num_queries, settings.num_stages),
                seed=seed,
                cell=(("instance", instance.label), ("rule", rule)),
            )
            for num_queries in reversed(lengths(settings.num_queries))
            for budget in settings.budgets
            for instance in instances(settings, budget)
            for seed in settings.seeds[: num_seeds(num_queries)]
            for rule in instance.rules
            if num_queries <= longest(instance, rule)
            for policy in settings.policies
        ]

    def summarise(self, results: StudyResults) -> Summary:
        """Fit exponents for every instance."""
        labels = results.distinct("instance")
        return Summary(
            title="Scaling of regret",
            question=self.question,
            findings=tuple(text for label in labels for text in _findings(results, label)),
            tables=tuple(table for label in labels for table in _tables(results, label)),
            figures=tuple(figure for label in labels for figure in _figures(results, label)),
        )


def lengths(longest_stream: int) -> list[int]:
    """Return T: 1,000, 3,000, 10,000, ... up to the longest."""
    values = [step * 10**power for power in range(3, 9) for step in (1, 3)]
    return [value for value in values if value <= longest_stream] or [longest_stream]


def num_seeds(num_queries: int) -> int:
    """Return how many streams of this length: 20, or fewer where they are long, at least 4."""
    return min(20, max(4, 10_000_000 // num_queries))


def num_stages(rule: str, num_queries: int, fixed: int) -> int:
    """Return K."""
    if rule == FIXED:
        return fixed
    return round(num_queries ** (1.0 / 3.0 if rule == CUBE_ROOT else 0.5))


def longest(instance: Instance, rule: str) -> float:
    """Return the T up to which the instance is run under the rule."""
    is_slow = isinstance(instance.workload, NeedleArrivals) and rule == SQUARE_ROOT
    return LARGEST_NEEDLE if is_slow else math.inf


def instances(settings: StudySettings, budget: float) -> list[Instance]:
    """Return the settings' workload with random arrivals, and needles that are hard to find.

    Needles need caps of 1, where nothing but learning finds them. At a = 1 a needle can just be
    told from the others within its batch; at a = 1/4, where the lower bound holds, it hardly can.
    """
    stochastic = RandomArrivals(settings.workload)
    return [
        Instance(f"{stochastic.label}, b = {budget:g}", stochastic),
        Instance("needles, a = 0.25", NeedleArrivals(), 1.0),
        Instance("needles, a = 1", NeedleArrivals(advantage=1.0), 1.0, (CUBE_ROOT,)),
    ]


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
    title = f"{label}: exponents from T = {smallest:,} on"
    return Table(title, ("policy", "K", "largest T", *QUANTITIES), tuple(rows), NOTE)


def _regret(results: StudyResults, label: str) -> Table:
    policies = results.distinct("policy")
    rows = []
    columns = [_by_length(results, label, CUBE_ROOT, policy) for policy in policies]
    for groups in zip(*columns, strict=True):
        first = groups[0][0]
        regrets = [mean_interval(quantity(group, "in all")).text(0) for group in groups]
        shares = quantity(groups[0], "waiting").mean()
        floor = _floor(results, first)
        rows.append(
            (
                f"{first.num_queries:,}", str(first.num_stages), str(len(groups[0])), *regrets,
                f"{shares:.0f}", "-" if floor is None else f"{floor:.0f}",
            )
        )  # fmt: skip
    columns_named = ("T", "K", "seeds", *policies, "of it waiting", "lower bound")
    note = (
        "Regret in all, in rewards: learning, money priced, and waiting, mean over the seeds. "
        "Lower bound: what no learner can stay below on average, where the construction has one."
    )
    return Table(f"{label}: regret with K = {CUBE_ROOT}", columns_named, tuple(rows), note)


def _floor(results: StudyResults, record: Record) -> float | None:
    """Return the lower bound of the record's instance."""
    if not record.workload.startswith("needle"):
        return None
    advantage = float(record.cell_values["instance"].rpartition("= ")[2])
    floor = NeedleArrivals(advantage=advantage).regret_floor(record.num_queries)
    return floor or None


def _rule_text(rule: str, results: StudyResults) -> str:
    return str(results.settings["num_stages"]) if rule == FIXED else rule


def _findings(results: StudyResults, label: str) -> list[str]:
    """Say how the regret in all grows, and which part of it decides that."""
    texts = []
    sizes = sorted({record.num_queries for record in results.of(instance=label)})
    smallest = ASYMPTOTIC_FROM if sizes[-1] > ASYMPTOTIC_FROM else sizes[0]
    for policy in results.distinct("policy"):
        groups = _by_length(results, label, CUBE_ROOT, policy)
        fits = {name: _fit(groups, name, smallest) for name in QUANTITIES}
        total = fits["in all"]
        if total is None:
            texts.append(f"On {label}, {policy}'s regret has no exponent: it is not positive.")
            continue
        share = quantity(groups[-1], "waiting").sum() / quantity(groups[-1], "in all").sum()
        learning = fits["learning, money priced"]
        grows = "is not a power of T" if learning is None else _grows(learning)
        texts.append(
            f"On {label} with K = {CUBE_ROOT}, from T = {smallest:,} to {sizes[-1]:,}, {policy}'s "
            f"regret {_grows(total)}, {_against_theory(total)}; its learning part {grows}, and at "
            f"the largest T waiting for stage boundaries is {share:.0%} of it."
        )
    return [*texts, *_against_uniform(results, label), *_against_rules(results, label, smallest)]


def _grows(fit: PowerLaw) -> str:
    return f"grows as T^{fit.exponent.text()}"


def _against_theory(fit: PowerLaw) -> str:
    if fit.exponent.low > THEORY:
        return "faster than the T^(2/3) of the theory"
    if fit.exponent.high < THEORY:
        return "slower than the T^(2/3) of the theory"
    return "in agreement with the T^(2/3) of the theory"


def _against_uniform(results: StudyResults, label: str) -> list[str]:
    """Say how much of what guessing loses is lost, where guessing has the same exponent."""
    guesses = _by_length(results, label, CUBE_ROOT, "uniform")
    if not label.startswith("needles") or not guesses:
        return []
    guessing = quantity(guesses[-1], "in all").mean()
    shares = [
        f"{policy} {quantity(groups[-1], 'in all').mean() / guessing:.0%}"
        for policy in results.distinct("policy")
        if policy != "uniform" and (groups := _by_length(results, label, CUBE_ROOT, policy))
    ]
    floor = _floor(results, guesses[-1][0])
    bound = "" if floor is None else f"; the lower bound is {floor / guessing:.0%}"
    return [
        f"On {label} the exponent belongs to the instance, since a needle's advantage shrinks as "
        f"T^(-1/3): guessing has it too. What tells policies apart is the factor; of what uniform "
        f"loses at T = {guesses[-1][0].num_queries:,}, {', '.join(shares)} is lost{bound}."
    ]


def _against_rules(results: StudyResults, label: str, smallest: int) -> list[str]:
    """Say what other rules for K do to the regret in all."""
    texts = []
    for policy in results.distinct("policy"):
        parts = []
        for rule in (SQUARE_ROOT, FIXED):
            groups = _by_length(results, label, rule, policy)
            fit = _fit(groups, "in all", smallest) if groups else None
            if fit is not None:
                parts.append(f"K = {_rule_text(rule, results)} it {_grows(fit)}")
        if parts and policy != "uniform":
            texts.append(f"On {label}, {policy}: with {', with '.join(parts)}.")
    return texts


def _figures(results: StudyResults, label: str) -> list[Figure]:
    policies = results.distinct("policy")
    curves = [_curve(results, label, CUBE_ROOT, policy, "in all", policy) for policy in policies]
    figures = [_figure(f"Regret in all, {label}, K = {CUBE_ROOT}", curves)]
    for policy in policies:
        rules = [rule for rule in results.distinct("rule") if results.of(instance=label, rule=rule)]
        if policy == "uniform" or len(rules) == 1:
            continue
        parts = [
            _curve(results, label, rule, policy, name, f"{name}, K = {_rule_text(rule, results)}")
            for rule in rules
            for name in ("learning, money priced", "waiting")
        ]
        figures.append(_figure(f"What regret is made of: {policy}, {label}", parts))
    return figures


def _figure(title: str, curves: Sequence[Curve]) -> LineFigure:
    drawn = tuple(curve for curve in curves if len(curve.x) > 0)
    reference = []
    if drawn:
        x = np.asarray(drawn[0].x)
        top = max(float(np.asarray(curve.y)[-1]) for curve in drawn)
        slope = top * (x / x[-1]) ** THEORY
        reference = [Curve("T^(2/3)", x, slope, is_reference=True)]
    return LineFigure(
        title, "T, queries", "reward lost", (*drawn, *reference), log_x=True, log_y=True,
        note="Straight lines are powers of T; the slope of the reference is that of the theory.",
    )  # fmt: skip


def _curve(
    results: StudyResults, label: str, rule: str, policy: str, name: str, text: str
) -> Curve:
    """Return the mean of a quantity over T where it is positive, with its exponent."""
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
    labelled = text if fit is None else f"{text}: T^{fit.exponent.value:.2f}"
    return Curve(labelled, sizes[shown], mean[shown], low[shown], high[shown])
