"""Does it hold where nobody tuned it? Charged regret of every policy where things go wrong."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise, product
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from stageroute.config.settings import Drift
from stageroute.lab.columns import key, mean, median, regret, worst
from stageroute.lab.declared import Cell, Each, Part, TableOf
from stageroute.lab.duels import OURS, against_each, at_a_glance, where_another_is_better
from stageroute.lab.episodes import Episode
from stageroute.lab.studies.scenarios import DRIFT
from stageroute.lab.study import Study, StudySettings
from stageroute.policies import POLICIES, Limits, Policy, find_policy
from stageroute.policies.optimum import optimum
from stageroute.workloads import (
    Adversarial,
    BuiltIn,
    Changing,
    Delayed,
    HalfAtStart,
    LargePool,
    Noisy,
    Outage,
    PriceCut,
    SilentRegression,
    SlowDecline,
    Sparse,
    StateOfTheArt,
    Workload,
)

PARTS: Final = MappingProxyType(
    {
        "usual": "As usual",
        "starts": "Start costs",
        "held-out": "Held out",
        "late": "Late feedback",
        "drift": "Models that change",
        "short": "Short streams",
        "sparse": "Few rewards",
        "unlucky": "Bad luck",
        "judge": "A judge that errs",
        "pools": "Large pools",
    }
)
"""Parts of the study, and what reports call them."""

LEVELS: Final = MappingProxyType({"25 %": 0.25, "55 %": 0.55, "95 %": 0.95})
"""Budgets, between the cheapest mixture and the one that no budget limits, in logarithms."""

CAPS: Final = (0.5, 1.0)
HELD_OUT_QUERIES: Final = 20_000

SIZES: Final = (14, 29, 50, 100)
SLOTS: Final = (3, 4, 5)
"""M_max: of the first, second and third suite of each size."""

POOLS: Final = (100, 1_000)
POOL_BUDGET: Final = 0.003
POOL_SUITES: Final = 5
POOL_SEEDS: Final = 8
"""How many seeds have the larger pool, which takes seconds for each episode."""

UNLUCKY: Final = 200
START: Final = 0.9
"""What a start costs, in units of what a stage may spend."""

DRIFTS: Final = MappingProxyType(
    {f"{OURS}, change test": DRIFT, f"{OURS}, no change test": Drift(change_test=None)}
)
"""Beside StageRoute as it is by default, the other of these two plays where models change."""

NOTE: Final = (
    "Regret in % of the stage oracle's reward, with what was spent beyond b T charged at the "
    "oracle's price: mean, median and worst seed; spend: the largest spend / b at the end. The "
    "policies static, oracle and clairvoyant are told what others must learn. Held out: T = "
    f"{HELD_OUT_QUERIES:,}, half of the models at the start, the two cheapest among them, the "
    "others in random order; budgets at these shares of the range, in logarithms, between the "
    "cheapest mixture and the best one without a budget. Generated suites: three of each size, "
    "with M_max = 3, 4 and 5."
)

COLUMNS: Final[Mapping[str, Cell]] = {
    "mean": mean(regret),
    "median": median(regret),
    "worst": worst(regret, ".1f"),
    "spend": worst("spend", ".3f"),
}

TABLE: Final = TableOf(
    "{case}", ("who",), {"policy": key("who"), "": Each("level", COLUMNS)}, NOTE
)  # fmt: skip


# ---- held out -----------------------------------------------------------------------------------


def _held_out(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every table under both caps, with prices known and unknown, at every budget."""
    levels, cells = [*LEVELS], [*product(CAPS, (True, False))]
    if settings.is_small:
        levels, cells = levels[::2], cells[::3]
    length = min(HELD_OUT_QUERIES, base.num_queries)
    for table, slots in _tables(base, settings):
        on_table = base.but(
            {"M_max": slots}, workload=HalfAtStart(table), num_queries=length, max_deployed=slots
        )
        for cap, is_known in cells:
            capped = on_table.but(throughput_cap=cap, use_prices=is_known)
            ends = budget_range(capped.workload, capped.seed, capped.limits)
            told = "known" if is_known else "unknown"
            case = f"{table.label}, α = {cap:g}, prices {told}"
            for level in levels:
                where = {"part": "held-out", "case": case, "level": level}
                yield capped.but(where, budget=between(ends, LEVELS[level]))


def _tables(base: Episode, settings: StudySettings) -> Iterator[tuple[Workload, int]]:
    """Yield workloads, each with M_max: the study's own, and suites if that is the usual one."""
    yield base.workload, base.limits.max_deployed
    if base.workload == BuiltIn():
        for size in SIZES[:1] if settings.is_small else SIZES:
            for suite, slots in enumerate(SLOTS[:1] if settings.is_small else SLOTS):
                yield StateOfTheArt(num_models=size, suite=suite), slots


@cache
def budget_range(workload: Workload, seed: int, limits: Limits) -> tuple[float, float]:
    """Return the cost of the cheapest mixture, and of the best without a budget, USD per query."""
    means = workload.stream(1, seed).regimes[0]
    caps, order = limits.caps(means.cost.size), np.argsort(means.cost)
    filled = np.minimum(np.cumsum(caps[order]), 1.0)
    cheapest = float(np.diff(filled, prepend=0.0) @ means.cost[order])
    free = replace(limits, budget=float(means.cost.max()))
    _, best = optimum(order, means.reward, means.cost, free)
    return cheapest, float(best @ means.cost)


def between(ends: tuple[float, float], share: float) -> float:
    """Return a budget of three digits between two, in logarithms."""
    low, high = ends
    return float(f"{low * (high / low) ** share:.3g}")


# ---- everything else ----------------------------------------------------------------------------


def _cases(base: Episode) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield part, case, and what an episode has in place of the usual."""
    usual, budget = base.workload, base.limits.budget
    yield "usual", "As usual", {}
    for delay in (200, 2_000):
        yield "late", f"{delay:,} queries late", {"workload": Delayed(usual, delay)}
    for change in (SilentRegression, Outage, PriceCut, SlowDecline):
        changing = Changing(usual, change(budget=budget))
        yield "drift", changing.change.kind.replace("_", " ").capitalize(), {"workload": changing}
    for length in (200, 1_000):
        yield "short", f"T = {length:,}", {"num_queries": length}
    for share in (0.1, 0.01, 0.0):
        case = f"Rewards for {share:.0%}" if share else "No rewards"
        yield "sparse", case, {"workload": Sparse(usual, share)}
    worst_first = Adversarial(
        usual, share=min(1.0, UNLUCKY / base.num_queries), model=favourite(base)
    )
    yield "unlucky", f"{UNLUCKY} unlucky first queries", {"workload": worst_first}
    yield "judge", "20 % flipped", {"workload": Noisy(usual, noise=0.0, flips=0.2)}
    start_cost = START * budget * base.num_queries / base.num_stages
    yield "starts", f"A start costs {START:g} of a stage's budget", {"start_cost": start_cost}


def favourite(base: Episode) -> str:
    """Return the model, of those at the start, that the best mixture uses most over the stream."""
    stream = base.workload.stream(base.num_queries, base.seed)
    means, moments = stream.regimes[0], np.unique(stream.arrivals)
    used = np.zeros(stream.table.num_models)
    for moment, end in pairwise([*moments.tolist(), base.num_queries]):
        candidates = stream.candidates(moment)
        used += (end - moment) * optimum(candidates, means.reward, means.cost, base.limits)[1]
    return stream.table.models[int(np.argmax(np.where(stream.arrivals == 0, used, -1.0)))]


def _every_case(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every policy that can play, in every case, at the budget of the base."""
    for part, case, changes in _cases(base):
        where = {"part": part, "case": case, "level": f"b = {base.limits.budget:g}"}
        yield from _everyone(base.but(where, **changes), settings)


def _once(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield what has budgets of its own: held-out tables, and pools with prices alone."""
    for episode in _held_out(base, settings):
        yield from _everyone(episode, settings)
    few = settings.is_small or base.seed not in settings.seeds[:POOL_SEEDS]
    for size in POOLS[:1] if few else POOLS:
        where = {"part": "pools", "case": f"N = {size:,}", "level": f"b = {POOL_BUDGET:g}"}
        pool = LargePool(size, suite=base.seed % POOL_SUITES)
        told = base.but(where, workload=pool, budget=POOL_BUDGET, use_prices=True)
        yield from _everyone(told, settings)


def _everyone(episode: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every policy that can be told what becomes known; see `Policy.hear`."""
    for policy in settings.policies:
        if episode.part != "sparse" or _hears(policy):
            yield episode.but({"who": policy}, policy=policy)
    if OURS in settings.policies and episode.part in ("usual", "drift"):
        for who, drift in DRIFTS.items():
            if drift != episode.limits.drift:
                yield episode.but({"who": who}, policy=OURS, drift=drift)


def _hears(policy: str) -> bool:
    """Whether a policy can be told costs without rewards."""
    return getattr(find_policy(policy), "hear", Policy.hear) is not Policy.hear


STUDY: Final = Study(
    "robustness", "Robustness",
    "Does it hold where nobody tuned it, and where little or nothing goes as usual?",
    (
        Part("All in all", (at_a_glance, against_each, where_another_is_better)),
        *(Part(title, (TABLE,), ("case",), {"part": part}) for part, title in PARTS.items()),
    ),
    StudySettings(policies=tuple(POLICIES)),
    _every_case, _once,
    if_small={"policies": (OURS, "thompson", "linucb")},
)  # fmt: skip
