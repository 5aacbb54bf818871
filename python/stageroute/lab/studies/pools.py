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
    points,
    regret,
    timed,
    tried,
)
from stageroute.lab.declared import Curves, LinesOf, Part, Scope, TableOf
from stageroute.lab.episodes import Cell, Episode
from stageroute.lab.studies.episode import changed, episode
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import PointFigure
from stageroute.policies import Limits, RewardPrior
from stageroute.workloads import LargePool

__all__ = ["Pools"]

SIZE, KNOWLEDGE, SLOTS = "size", "knowledge", "slots"
"""Parts of the study."""

OURS, SHORTLIST = "stageroute", "stageroute-shortlist"

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

COLUMNS: Final = {**REGRET_COLUMNS, "tried %": mean(tried, ".0f")}


def _knowledge(scope: Scope) -> list[PointFigure]:
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


class Pools(Study):
    """Sizes of the pool, what is known of its models, and how many slots there are."""

    name = "pools"
    title = "Large pools"
    question = "What happens with more candidates than can ever be tried, and what helps?"

    full = StudySettings(
        workload=LargePool(1_000), budgets=(0.003,), seeds=tuple(range(8)),
        limits=Limits(budget=0.003, use_prices=True, solver="native"),
    )  # fmt: skip

    of_size = TableOf(
        "Over the size of the pool", ("N", "who"),
        {
            "told, or policy": key("who"),
            "N": key("N", ","),
            "b": key("budget", "g"),
            **COLUMNS,
            "ns / query": timed("nanoseconds_per_query", ",.0f"),
            "ms / deployment": timed("milliseconds_deploying", ".3g", each="num_stages"),
        },
        NOTE,
    )  # fmt: skip
    over_size = LinesOf(
        "Regret over the size of the pool", "models", "regret, %", (Curves(band(regret), "who"),),
        over="N", log_x=True,
        note="The largest pool has twice the budget: its first models are expensive.",
    )  # fmt: skip
    of_knowledge = TableOf(
        "Over what is known of {N:,} models", ("who",),
        {"told": key("who"), **COLUMNS, "starts": interval("starts", 0)},
    )  # fmt: skip
    of_slots = TableOf(
        "Over the slots that stages offer", ("K", "M_max", "who"),
        {
            "told": key("who"),
            "K": key("K"),
            "M_max": key("M_max"),
            "slots": lambda runs: f"{runs[0]['K'] * runs[0]['M_max']:,}",
            **COLUMNS,
        },
    )  # fmt: skip
    parts = (
        Part("Size of the pool", (of_size, over_size), where={"part": SIZE}),
        Part("What is known", (of_knowledge, _knowledge), by=("N",), where={"part": KNOWLEDGE}),
        Part("Slots", (of_slots,), where={"part": SLOTS}),
    )

    def small(self, settings: StudySettings) -> StudySettings:
        """Return the setting for tests, with a smaller pool."""
        return replace(super().small(settings), workload=LargePool(100), seeds=settings.seeds[:2])

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every contestant at every size, everything known, and every number of slots."""
        episodes = [
            found
            for seed in settings.seeds
            for budget in settings.budgets
            for found in _at(settings, budget, seed)
        ]
        # Episodes of the same pool follow each other.
        return sorted(episodes, key=lambda one: (one.seed, dict(one.cell)["N"]))


def _at(settings: StudySettings, budget: float, seed: int) -> Iterator[Episode]:
    """Yield what runs at a budget with a seed."""
    own = settings.workload
    pool = replace(own if isinstance(own, LargePool) else LargePool(), suite=seed % SUITES)
    is_small, num_models = settings.is_small, pool.num_models

    def one(size: int, cell: Cell, changes: Changes, num_stages: int | None = None) -> Episode:
        limits = settings.at_budget(HUGE_BUDGET if size == HUGE and cell[0][1] == SIZE else budget)
        rest = {"reward_prior": None, "use_prices": True, "initial_reward_ucb": 1.0, **changes}
        policy = rest.pop("policy", OURS)
        return episode(
            settings, policy, changed(limits, **rest), seed, cell,
            workload=replace(pool, num_models=size), num_stages=num_stages,
        )  # fmt: skip

    for size in SIZES[:2] if is_small else SIZES:
        for who in [*OF_SIZES][::2] if is_small else OF_SIZES:
            is_quick = seed < HUGE_SEEDS and OF_SIZES[who].get("policy") != SHORTLIST
            if size < HUGE or is_quick:
                yield one(size, (("part", SIZE), ("N", size), ("who", who)), OF_SIZES[who])
    for who in [*OF_KNOWLEDGE][::3] if is_small else OF_KNOWLEDGE:
        cell = (("part", KNOWLEDGE), ("N", num_models), ("who", who))
        yield one(num_models, cell, OF_KNOWLEDGE[who])
    for stages, slots in SLOT_VALUES[:2] if is_small else SLOT_VALUES:
        for who in (PLAIN, TOLD):
            cell = (("part", SLOTS), ("N", num_models), ("who", who))
            slots_of = (("K", stages), ("M_max", slots))
            changes = {**OF_SIZES[who], "max_deployed": slots}
            yield one(num_models, (*cell, *slots_of), changes, num_stages=stages)
