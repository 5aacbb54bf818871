"""Pools of many models that arrive fast: more than there are slots to try them in."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from stageroute.lab.columns import (
    REGRET_COLUMNS,
    REGRET_NOTE,
    band,
    interval,
    key,
    mean,
    points,
    regret,
    tried,
)
from stageroute.lab.declared import Cell, Column, Curves, LinesOf, Part, Scope, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.runs import Run, Runs
from stageroute.lab.studies.episode import episode
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


@dataclass(frozen=True)
class Contestant:
    """A policy and what it is told beforehand."""

    label: str
    policy: str = OURS
    prior: RewardPrior | None = None
    use_prices: bool = True
    reward_bound: float = 1.0

    def limits(self, limits: Limits) -> Limits:
        """Return the limits as this one has them."""
        confidence = replace(limits.confidence, initial_reward_ucb=self.reward_bound)
        return replace(
            limits,
            use_prices=self.use_prices,
            reward_prior=self.prior,
            confidence=confidence,
        )


PLAIN: Final = Contestant("prices")
SCORES: Final = Contestant("prices, scores ± 0.05", prior=RewardPrior("scores", 0.05))

OF_SIZES: Final = (
    PLAIN,
    Contestant("shortlist by lot", SHORTLIST),
    SCORES,
    Contestant("thompson", "thompson"),
    Contestant("linucb", "linucb"),
    Contestant("greedy", "greedy"),
)

OF_KNOWLEDGE: Final = (
    Contestant("nothing", use_prices=False),
    PLAIN,
    Contestant("prices, first bound 0.6", reward_bound=0.6),
    Contestant("prices, shortlist by lot", SHORTLIST),
    Contestant("prices, and quality from them", prior=RewardPrior("prices")),
    Contestant("prices, scores ± 0.15", prior=RewardPrior("scores", 0.15)),
    Contestant("prices, scores ± 0.1", prior=RewardPrior("scores", 0.1)),
    SCORES,
    Contestant("prices, scores ± 0.02", prior=RewardPrior("scores", 0.02)),
    Contestant("prices, scores ± 0.05, weight 5", prior=RewardPrior("scores", 0.05, 5)),
    Contestant("prices, scores ± 0.05, weight 100", prior=RewardPrior("scores", 0.05, 100)),
    Contestant("prices, scores ± 0.05, weight 1,000", prior=RewardPrior("scores", 0.05, 1_000)),
    Contestant("scores ± 0.05 alone", prior=RewardPrior("scores", 0.05), use_prices=False),
)


NOTE: Final = (
    f"{REGRET_NOTE} Tried: share of the models that arrive which ever serve a query. Deployment: "
    "one stage boundary, new models added included, native solver. Times are those of this run."
)

TRIED: Final = Column("tried %", mean(tried, ".0f"))


def _time(of: Callable[[Run], float], form: str) -> Cell:
    """Return what formats the median of a time; a dash where no times were kept."""

    def say(runs: Runs) -> str:
        times = [of(run) for run in runs if run.timing]
        return format(np.median(times), form) if times else "-"

    return say


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

    parts = (
        Part(
            "Size of the pool", where={"part": SIZE},
            shows=(
                TableOf(
                    "Over the size of the pool",
                    rows=("N", "who"),
                    columns=(
                        Column("told, or policy", key("who")),
                        Column("N", key("N", ",")),
                        Column("b", key("budget", "g")),
                        *REGRET_COLUMNS,
                        TRIED,
                        Column(
                            "ns / query", _time(lambda r: r.timing["nanoseconds_per_query"], ",.0f")
                        ),
                        Column(
                            "ms / deployment",
                            _time(lambda r: r.timing["milliseconds_deploying"]
                                  / r.record.num_stages, ".3g"),
                        ),
                    ),
                    note=NOTE,
                ),
                LinesOf(
                    "Regret over the size of the pool", "models", "regret, %",
                    (Curves(band(regret), "who"),), over="N", log_x=True,
                    note="The largest pool has twice the budget: its first models are expensive.",
                ),
            ),
        ),
        Part(
            "What is known", by=("N",), where={"part": KNOWLEDGE},
            shows=(
                TableOf(
                    "Over what is known of {N:,} models",
                    rows=("who",),
                    columns=(
                        Column("told", key("who")), *REGRET_COLUMNS, TRIED,
                        Column("starts", interval("starts", 0)),
                    ),
                ),
                _knowledge,
            ),
        ),
        Part(
            "Slots", where={"part": SLOTS},
            shows=(
                TableOf(
                    "Over the slots that stages offer",
                    rows=("K", "M_max", "who"),
                    columns=(
                        Column("told", key("who")), Column("K", key("K")),
                        Column("M_max", key("M_max")),
                        Column("slots", lambda runs: f"{runs[0]['K'] * runs[0]['M_max']:,}"),
                        *REGRET_COLUMNS, TRIED,
                    ),
                ),
            ),
        ),
    )  # fmt: skip

    def settings(self) -> StudySettings:
        """Return the full setting."""
        return replace(
            super().settings(),
            workload=LargePool(1_000),
            budgets=(0.003,),
            seeds=tuple(range(8)),
            limits=Limits(budget=0.003, use_prices=True, solver="native"),
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
            for found in [
                *_of_sizes(settings, budget, seed),
                *_of_knowledge(settings, budget, seed),
                *_of_slots(settings, budget, seed),
            ]
        ]
        # Episodes of the same pool follow each other.
        return sorted(episodes, key=lambda one: (one.seed, dict(one.cell)["N"]))


def _pool(settings: StudySettings, seed: int, num_models: int | None = None) -> LargePool:
    own = settings.workload
    base = own if isinstance(own, LargePool) else LargePool()
    return replace(base, num_models=num_models or base.num_models, suite=seed % SUITES)


def _of_sizes(settings: StudySettings, budget: float, seed: int) -> list[Episode]:
    sizes = SIZES[:2] if settings.is_small else SIZES
    contestants = OF_SIZES[::2] if settings.is_small else OF_SIZES
    return [
        episode(
            settings, contestant.policy,
            contestant.limits(settings.at_budget(HUGE_BUDGET if size == HUGE else budget)),
            seed,
            (("part", SIZE), ("N", size), ("who", contestant.label)),
            workload=_pool(settings, seed, size),
        )
        for size in sizes
        if size < HUGE or seed < HUGE_SEEDS
        for contestant in contestants
        if size < HUGE or contestant.policy != SHORTLIST
    ]  # fmt: skip


def _of_knowledge(settings: StudySettings, budget: float, seed: int) -> list[Episode]:
    pool = _pool(settings, seed)
    contestants = OF_KNOWLEDGE[::3] if settings.is_small else OF_KNOWLEDGE
    return [
        episode(
            settings, contestant.policy, contestant.limits(settings.at_budget(budget)), seed,
            (("part", KNOWLEDGE), ("N", pool.num_models), ("who", contestant.label)),
            workload=pool,
        )
        for contestant in contestants
    ]  # fmt: skip


def _of_slots(settings: StudySettings, budget: float, seed: int) -> list[Episode]:
    pool = _pool(settings, seed)
    values = SLOT_VALUES[:2] if settings.is_small else SLOT_VALUES
    return [
        episode(
            settings, contestant.policy,
            replace(contestant.limits(settings.at_budget(budget)), max_deployed=slots),
            seed,
            (
                ("part", SLOTS), ("N", pool.num_models), ("who", contestant.label),
                ("K", stages), ("M_max", slots),
            ),
            workload=pool,
            num_stages=stages,
        )
        for stages, slots in values
        for contestant in (PLAIN, SCORES)
    ]  # fmt: skip
