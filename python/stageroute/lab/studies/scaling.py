"""How regret grows with the number of queries, against the T^(2/3) of the theory."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import band, exponent, in_all, interval, key, mean, power_law, priced
from stageroute.lab.declared import Curves, Each, LinesOf, Part, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Run, Runs, values
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Curve
from stageroute.workloads import BuiltIn, NeedleArrivals, RandomArrivals

CUBE_ROOT, SQUARE_ROOT, FIXED = "T^(1/3)", "T^(1/2)", "fixed"
"""Rules for K."""

SMALLEST: Final = 1_000
ASYMPTOTIC_FROM: Final = 100_000
"""From this T on, exponents are fitted once more: below, the first visits weigh most."""

GUESSING: Final = "uniform"
"""What learns nothing."""

THEORY: Final = "stageroute-theory"
ONE_RULE: Final = (THEORY, GUESSING)
"""Policies to compare with: run with T^(1/3) stages alone."""

LARGEST_NEEDLE: Final = 1_000_000
"""Needles with T^(1/2) stages end here: a boundary takes milliseconds where models are many."""


NOTE: Final = (
    "Exponents x of T^x, by least squares through the logarithms of the mean over seeds; in "
    "brackets what covers them with 95 %. Learning: total regret of expected rewards against the "
    "stage oracle, which deploys at the same boundaries. Money priced: with what was spent beyond "
    "b T charged at the oracle's price, so that overspending cannot hide regret. "
    "Waiting: what the stage oracle itself loses because arrivals wait for a boundary; no policy "
    "can avoid it. In all: learning, money priced, and waiting, which is what the theory bounds. "
    "A dash: not positive somewhere, so that there is no exponent."
)


def _rule(run: Run) -> str:
    return str(run.record.num_stages) if run["rule"] == FIXED else str(run["rule"])


def _positive(of: str | Callable[[Run], float]) -> Callable[[Runs], Any]:
    """Return what draws a mean where all that covers it is positive: axes are logarithmic."""

    def drawn(runs: Runs) -> Any:
        mean, low, high = band(of)(runs)
        return (mean, low, high) if mean > 0 and low > 0 else (np.nan, np.nan, np.nan)

    return drawn


def _power(runs: Runs) -> str:
    law = power_law(runs, "num_queries", in_all)
    return "" if law is None else f"T^{law.exponent.value:.2f}"


def _theory(curves: Sequence[Curve]) -> list[Curve]:
    """Return the slope of the bounds (Li & Li 2026), through the highest end of the curves."""
    if not curves:
        return []
    x, ends = np.asarray(curves[0].x), [np.asarray(curve.y) for curve in curves]
    top = max(float(y[np.isfinite(y)][-1]) for y in ends)
    return [Curve("T^(2/3)", x, top * (x / x[-1]) ** (2.0 / 3.0), is_reference=True)]


def _exponents(smallest: int) -> Part:
    """Return the exponents from a T on, if there are at least two such T."""
    table = TableOf(
        f"Exponents, {{instance}}, from T = {smallest:,} on", ("rule", "policy"),
        {
            "policy": key("policy"),
            "K": lambda runs: _rule(runs[0]),
            "largest T": lambda runs: f"{values(runs, 'num_queries')[-1]:,}",
            "learning": exponent("num_queries", "total_regret"),
            "learning, money priced": exponent("num_queries", priced),
            "waiting": exponent("num_queries", "waiting_cost"),
            "in all": exponent("num_queries", in_all),
        },
        NOTE,
    )  # fmt: skip
    return Part(
        "", (table,), where=lambda run: run["num_queries"] >= smallest,
        when=lambda runs: len(values(runs, "num_queries")) >= 2,
    )  # fmt: skip


REGRET: Final = TableOf(
    f"Regret with K = {CUBE_ROOT}, {{instance}}", ("num_queries",),
    {
        "T": key("num_queries", ","),
        "K": key("num_stages"),
        "seeds": lambda runs: str(len(values(runs, "seed"))),
        "": Each("policy", {"": interval(in_all, 0)}),
        "of it waiting": mean("waiting_cost", ".0f"),
        "lower bound": lambda runs: f"{x:.0f}" if (x := runs[0].cell.get("lower bound")) else "-",
    },
    "Regret in all, in rewards: learning, money priced, and waiting, mean over the seeds. Lower "
    "bound: what no learner can stay below on average, where the construction has one.",
    where={"rule": CUBE_ROOT},
)  # fmt: skip

LINES_NOTE: Final = "Straight lines are powers of T; dotted: the slope of the theory, T^(2/3)."

IN_ALL: Final = LinesOf(
    f"Regret in all, K = {CUBE_ROOT}", "T, queries", "reward lost",
    (Curves(_positive(in_all), "policy", detail=_power),), over="num_queries",
    where={"rule": CUBE_ROOT}, more=_theory, log_x=True, log_y=True, note=LINES_NOTE,
)  # fmt: skip

MADE_OF: Final = LinesOf(
    "What regret is made of, by rule for K: {policy}", "T, queries", "reward lost",
    (
        Curves(_positive(priced), _rule, "learning, {}"),
        Curves(_positive("waiting_cost"), _rule, "waiting, {}"),
    ),
    over="num_queries", more=_theory, log_x=True, log_y=True, note=LINES_NOTE,
)  # fmt: skip


OF_PARTS: Final = Part(
    "", (Part("", (MADE_OF,), by=("policy",)),), where=lambda run: run["policy"] != GUESSING,
    when=lambda runs: len(values(runs, "rule")) > 1,
)  # fmt: skip

SHOWS: Final = _exponents(SMALLEST), _exponents(ASYMPTOTIC_FROM), REGRET, IN_ALL, OF_PARTS


def lengths(longest_stream: int) -> list[int]:
    """Return T: 1,000, 3,000, 10,000, ... up to the longest."""
    values = [step * 10**power for power in range(3, 9) for step in (1, 3)]
    return [value for value in values if value <= longest_stream] or [longest_stream]


def num_seeds(num_queries: int) -> int:
    """Return how many streams of this length: 20, or fewer where they are long, at least 4."""
    return min(20, max(4, 3_000_000 // num_queries))


def num_stages(rule: str, num_queries: int, fixed: int) -> int:
    """Return K."""
    if rule == FIXED:
        return fixed
    power = 1.0 / 3.0 if rule == CUBE_ROOT else 0.5
    return round(math.pow(num_queries, power))


def _every_length(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every policy under every rule for K, the long streams first."""
    for num_queries in reversed(lengths(settings.num_queries)):
        if base.seed not in settings.seeds[: num_seeds(num_queries)]:
            continue
        of_length = base.but({"T": num_queries}, num_queries=num_queries)
        for instance, rules in _instances(of_length):
            for rule in rules:
                stages = num_stages(rule, num_queries, settings.num_stages)
                for policy in settings.policies:
                    if rule == CUBE_ROOT or policy not in ONE_RULE:
                        yield instance.but({"rule": rule}, policy=policy, num_stages=stages)


def _instances(base: Episode) -> Iterator[tuple[Episode, tuple[str, ...]]]:
    """Yield what regret is measured on: random arrivals, and needles that are hard to find.

    With the rules for K. Needles need caps of 1, where nothing but learning finds them. At a = 1 a
    needle can just be told from the others within its batch; at a = 1/4, where the lower bound
    holds, it hardly can.
    """
    random = RandomArrivals(base.workload)
    label = f"{random.label}, b = {base.limits.budget:g}"
    yield base.but({"instance": label}, workload=random), (CUBE_ROOT, SQUARE_ROOT, FIXED)
    for advantage, rules in ((0.25, (CUBE_ROOT, SQUARE_ROOT)), (1.0, (CUBE_ROOT,))):
        needles = NeedleArrivals(advantage=advantage)
        label, floor = f"needles, a = {advantage:g}", needles.regret_floor(base.num_queries)
        hidden = base.but({"instance": label, "lower bound": floor}, workload=needles)
        is_slow = base.num_queries > LARGEST_NEEDLE
        yield hidden.but(throughput_cap=1.0), rules[:1] if is_slow else rules


STUDY: Final = Study(
    "scaling", "Scaling of regret", "Does regret grow as T^(2/3), and what of it does?",
    (Part("{instance}", SHOWS, by=("instance",)),),
    StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), budgets=(0.001,), num_queries=10_000_000,
        policies=("stageroute", "stageroute-published", THEORY, GUESSING),
    ),
    _every_length,
    if_small={"num_queries": 10_000, "num_stages": 33},
)  # fmt: skip
