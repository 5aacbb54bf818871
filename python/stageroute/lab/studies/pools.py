"""Pools of many models that arrive fast: more than there are slots to try them in."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from stageroute.lab.columns import (
    REGRET_COLUMNS,
    REGRET_NOTE,
    band,
    interval,
    key,
    mean,
    median,
    points,
    regret,
    time,
)
from stageroute.lab.declared import Curves, LinesOf, Part, Scope, TableOf
from stageroute.lab.episodes import Episode, Value
from stageroute.lab.results import Run
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import PointFigure
from stageroute.policies import Limits, RewardPrior
from stageroute.workloads import LargePool

SIZE, KNOWLEDGE, SLOTS = "size", "knowledge", "slots"
"""Parts of the study."""

SHORTLIST: Final = "stageroute-shortlist"

SUITES: Final = 5
"""How many pools there are of each size."""

SIZES: Final = (11, 100, 1_000, 10_000)
HUGE: Final = 10_000
HUGE_BUDGET: Final = 0.006
"""Below it no mixture of a huge pool's first models meets the budget; USD per query."""
HUGE_SEEDS: Final = 2
"""Seconds for an episode; shortlists, which retire almost every model one by one, take minutes."""

SLOT_VALUES: Final = ((33, 4), (33, 20), (100, 4), (100, 20), (400, 4), (400, 20))
"""K and M_max."""

Changes = Mapping[str, Any]
"""What a contestant has in place of a limit; `policy` too."""

PLAIN, TOLD = "prices", "prices, scores ± 0.05"


def _scores(error: float, weight: int = 20) -> Changes:
    return {"reward_prior": RewardPrior("scores", error, weight)}


OF_SIZES: Final[Mapping[str, Changes]] = {
    PLAIN: {},
    "shortlist by lot": {"policy": SHORTLIST},
    TOLD: _scores(0.05),
    "thompson": {"policy": "thompson"},
    "linucb": {"policy": "linucb"},
    "greedy": {"policy": "greedy"},
}

OF_KNOWLEDGE: Final[Mapping[str, Changes]] = {
    "nothing": {"use_prices": False},
    PLAIN: {},
    "prices, first bound 0.6": {"initial_reward_ucb": 0.6},
    "prices, shortlist by lot": {"policy": SHORTLIST},
    "prices, and quality from them": {"reward_prior": RewardPrior("prices")},
    "prices, scores ± 0.15": _scores(0.15),
    "prices, scores ± 0.1": _scores(0.1),
    TOLD: _scores(0.05),
    "prices, scores ± 0.02": _scores(0.02),
    "prices, scores ± 0.05, weight 5": _scores(0.05, 5),
    "prices, scores ± 0.05, weight 100": _scores(0.05, 100),
    "prices, scores ± 0.05, weight 1,000": _scores(0.05, 1_000),
    "scores ± 0.05 alone": {**_scores(0.05), "use_prices": False},
}

NOTE: Final = (
    f"{REGRET_NOTE} Tried: share of the models that arrive which ever serve a query. Deployment: "
    "one stage boundary, new models added included, native solver. Times are those of this run."
)

COLUMNS: Final = {
    **REGRET_COLUMNS,
    "tried %": mean(lambda run: 100.0 * (run.record.newcomers_tried or 0.0), ".0f"),
}


def _told(scope: Scope) -> list[PointFigure]:
    return [
        PointFigure(
            "What it is told, and what it makes of the budget", "spend / b",
            "reward kept, % of the oracle's",
            points(scope.runs, "who", "spend", lambda run: 100.0 - regret(run), label=_short),
            upright=1.0, part=scope.part,
            note="Prices are known where nothing else is said. ±: scores with such an error, ×: of "
            "such a weight, where it is not 20.",
        )
    ]  # fmt: skip


def _short(who: str) -> str:
    """Return a label that has room in the figure."""
    short = who.removeprefix("prices, ").replace("scores ", "").replace(", weight ", " × ")
    return short.replace("and quality from them", "quality by price")


def _of_a_stage(run: Run) -> float:
    return time("milliseconds_deploying")(run) / run.record.num_stages


OF_SIZE: Final = TableOf(
    "Over the size of the pool", ("N", "who"),
    {
        "told, or policy": key("who"),
        "N": key("N", ","),
        "b": key("budget", "g"),
        **COLUMNS,
        "ns / query": median(time("nanoseconds_per_query"), ",.0f"),
        "ms / deployment": median(_of_a_stage, ".3g"),
    },
    NOTE,
)  # fmt: skip

OVER_SIZE: Final = LinesOf(
    "Regret over the size of the pool", "models", "regret, %", (Curves(band(regret), "who"),),
    over="N", log_x=True,
    note="The largest pool has twice the budget: its first models are expensive.",
)  # fmt: skip

OF_WHAT_IS_KNOWN: Final = TableOf(
    "Over what is known of {N:,} models", ("who",),
    {"told": key("who"), **COLUMNS, "starts": interval("starts", 0)},
)  # fmt: skip

OF_SLOTS: Final = TableOf(
    "Over the slots that stages offer", ("K", "M_max", "who"),
    {
        "told": key("who"),
        "K": key("K"),
        "M_max": key("M_max"),
        "slots": lambda runs: f"{runs[0]['K'] * runs[0]['M_max']:,}",
        **COLUMNS,
    },
)  # fmt: skip


def _every_pool(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield every contestant at every size, everything known, and every number of slots."""
    own, seed, few = base.workload, base.seed, settings.is_small
    pool = replace(own if isinstance(own, LargePool) else LargePool(), suite=seed % SUITES)
    plain = base.but(workload=pool, reward_prior=None, use_prices=True, initial_reward_ucb=1.0)
    size = pool.num_models

    for n in SIZES[:2] if few else SIZES:
        of_size = plain.but({"part": SIZE, "N": n}, workload=replace(pool, num_models=n))
        if n == HUGE:
            of_size = of_size.but(budget=HUGE_BUDGET)
        for who in [*OF_SIZES][::2] if few else OF_SIZES:
            is_quick = seed < HUGE_SEEDS and OF_SIZES[who].get("policy") != SHORTLIST
            if n < HUGE or is_quick:
                yield of_size.but({"who": who}, **OF_SIZES[who])
    for who in [*OF_KNOWLEDGE][::3] if few else OF_KNOWLEDGE:
        yield plain.but({"part": KNOWLEDGE, "N": size, "who": who}, **OF_KNOWLEDGE[who])
    for stages, slots in SLOT_VALUES[:2] if few else SLOT_VALUES:
        cell: dict[str, Value] = {"part": SLOTS, "N": size, "K": stages, "M_max": slots}
        of_slots = plain.but(cell, num_stages=stages, max_deployed=slots)
        for who in (PLAIN, TOLD):
            yield of_slots.but({"who": who}, **OF_SIZES[who])


STUDY: Final = Study(
    "pools", "Large pools",
    "What happens with more candidates than can ever be tried, and what helps?",
    (
        Part("Size of the pool", (OF_SIZE, OVER_SIZE), where={"part": SIZE}),
        Part("What is known", (OF_WHAT_IS_KNOWN, _told), by=("N",), where={"part": KNOWLEDGE}),
        Part("Slots", (OF_SLOTS,), where={"part": SLOTS}),
    ),
    StudySettings(
        workload=LargePool(1_000), budgets=(0.003,), seeds=tuple(range(8)),
        limits=Limits(budget=0.003, use_prices=True, solver="native"),
    ),
    _every_pool,
    if_small={"workload": LargePool(100), "seeds": (0, 1)},
)  # fmt: skip
