"""What each setting does: one at a time, around the default."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import band, interval, key, learning, loss, mean, waiting, worst
from stageroute.lab.declared import Cell, Curves, Each, LinesOf, Part, Scope, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.power_law import exponent
from stageroute.lab.runs import Run, values
from stageroute.lab.shares import agreement, who_serves
from stageroute.lab.studies.episode import changed, episode
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import HeatMap, LineFigure
from stageroute.policies.ours.stageroute import as_published
from stageroute.workloads import BuiltIn, LargePool, RandomArrivals

__all__ = ["Sweeps"]

OURS, PUBLISHED, ORACLE = "stageroute", "stageroute-published", "oracle"

DEFAULT: Final = "none"
"""The cell without a sweep."""

INTERVAL: Final = "K"
"""The sweep that says how often to redeploy."""

NOTE: Final = (
    "Loss in %, mean over the seeds, in brackets what covers it with 95 %: what is lost against an "
    "oracle that redeploys at every arrival, so waiting for stage boundaries counts, and so does "
    "what was spent beyond b T, at the oracle's price. Waiting: the part that no policy can avoid."
)

SUITES: Final = 5
"""How many pools there are of each size."""


@dataclass(frozen=True)
class Sweep:
    """A setting, its values, and what a value does to an episode."""

    name: str
    values: tuple[float, ...]
    apply: Callable[[Episode, float], Episode]
    small: tuple[float, ...]


def _limit(name: str, kind: Callable[[float], float] = float) -> Callable[..., Episode]:
    """Return what gives an episode another limit."""
    return lambda episode, value: replace(
        episode, limits=changed(episode.limits, **{name: kind(value)})
    )


def _stages(episode: Episode, value: float) -> Episode:
    return replace(episode, num_stages=int(value))


def _gamma(episode: Episode, value: float) -> Episode:
    if episode.policy == PUBLISHED:
        # Its γ is published too: the same algorithm with another one is StageRoute so set.
        limits = as_published(episode.limits)
        episode = replace(episode, policy="stageroute", limits=limits)
    return _limit("gamma")(episode, value)


def _candidates(episode: Episode, value: float) -> Episode:
    return replace(episode, workload=LargePool(int(value), suite=episode.seed % SUITES))


def _arrivals(episode: Episode, value: float) -> Episode:
    # Without random arrivals there is nothing whose speed could change.
    workload = episode.workload
    base = workload.base if isinstance(workload, RandomArrivals) else workload
    return replace(episode, workload=RandomArrivals(base, within=value))


OTHER_SWEEPS: Final = (
    Sweep("M_max", (2, 3, 4, 6, 8, 11), _limit("max_deployed", int), (3, 4)),
    Sweep("b, USD per query", (0.0002, 0.0003, 0.0005, 0.001, 0.0015, 0.002, 0.003),
          _limit("budget"), (0.0005, 0.001)),
    Sweep("α", (0.25, 0.3, 0.4, 0.5, 0.75, 1.0), _limit("throughput_cap"), (0.4, 1.0)),
    Sweep("γ", (0.01, 0.03, 0.1, 0.15, 0.3, 1.0, 3.0), _gamma, (0.1, 1.0)),
    Sweep("candidates", (10, 20, 50, 100, 200, 500, 1000), _candidates, (10, 20)),
    Sweep("arrivals within, share of the stream", (0.02, 0.05, 0.1, 0.25, 0.5, 1.0), _arrivals,
          (0.1, 1.0)),
)  # fmt: skip
UPDATES: Final = Sweep(INTERVAL, (5, 10, 20, 33, 50, 100, 200, 400), _stages, (5, 20))
"""Swept at every budget, since it is what an operator asks first."""


def _between_boundaries(run: Run) -> float:
    """Return the queries between two boundaries."""
    return run.record.num_queries / run.record.num_stages


TABLE: Final = TableOf(
    "Over {part}", ("value",),
    {
        "{sweep}": key("value", "g"),
        "waiting %": mean(waiting),
        "oracle": mean("oracle_reward", ".3f"),
        "": Each(
            "who",
            {
                "loss %": interval(loss),
                "worst": worst(loss, ".1f"),
                "spend / b": mean("spend", ".3f"),
            },
        ),
    },
    NOTE,
)  # fmt: skip


def _figure(scope: Scope) -> list[LineFigure]:
    over = values(scope.runs, "value")
    return LinesOf(
        "Loss over {sweep}", "{sweep}", "loss, %", (Curves(band(loss), "who"),), over="value",
        log_x=bool(over[-1] / over[0] > 8), log_y=True,
        note="Lower is better; bands cover the means over the seeds with 95 %.",
    )(scope)  # fmt: skip


def _agreement(name: str) -> dict[str, Cell]:
    """Return columns of how far stages agree with the oracle's: all, the first, the last third."""

    def share(run: Run, part: str) -> float:
        found = getattr(agreement(run.record, run.oracle().record), name)
        third = max(1, found.size // 3)
        parts = {"all": found, "first": found[:third], "last": found[-third:]}
        return float(parts[part].mean())

    def of(part: str) -> Cell:
        return mean(lambda run: share(run, part), ".1%")

    return {part: of(part) for part in ("all", "first", "last")}


def _maps(scope: Scope) -> list[HeatMap]:
    note = (
        "Models from top to bottom in order of arrival; grey: not there yet. The same rows as dark "
        "as the oracle's mean that the right models were found."
    )
    return who_serves(scope, (ORACLE, OURS), lambda _: note)


class Sweeps(Study):
    """One-dimensional sweeps over K, M_max, b, α, γ, the candidates and the speed of arrivals."""

    name = "sweeps"
    title = "Sweeps"
    question = "How sensitive is each policy to each setting, and how often should it redeploy?"

    full = StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), policies=(OURS, PUBLISHED, "greedy")
    )

    over_interval = LinesOf(
        "Loss over the update interval, b = {budget:g}", "queries between two boundaries",
        "loss, %",
        (
            Curves(band(loss), "who"),
            Curves(band(waiting), label="waiting", where={"who": OURS}),
            Curves(band(learning), label="learning", where={"who": OURS}),
        ),
        over=_between_boundaries, log_x=True, log_y=True,
        focus=lambda _: (OURS, "waiting", "learning"),
        note=f"Learning and waiting are the parts of what {OURS} loses. Long intervals lose twice: "
        "arrivals wait for a boundary, and models can be exchanged, hence tried, less often. "
        "Choose an interval where the line of the whole loss is still level.",
    )  # fmt: skip
    growth = TableOf(
        "Waiting over the update interval", ("budget",),
        {"b": key("budget", "g"), "grows as interval^": exponent(_between_boundaries, waiting)},
    )  # fmt: skip
    selection = TableOf(
        "Agreement with the oracle", ("policy",),
        {
            "policy": key("policy"), "live": _agreement("live"), "needed": _agreement("needed"),
            "served": _agreement("served"),
        },
        "Live: candidates × stages in which a model is live for both or for neither; slots that "
        "the oracle's mixture does not need are filled by both as they like. Needed: stages in "
        "which every model that the oracle uses is live. Served: queries that the same models "
        "serve. Over the whole stream, its first and its last third.",
        where=lambda run: run["policy"] != ORACLE,
    )  # fmt: skip
    parts = (
        Part(
            "{sweep}, b = {budget:g}", (TABLE, over_interval), by=("sweep", "budget"),
            where={"sweep": INTERVAL},
        ),
        Part(
            "{sweep}", (TABLE, _figure), by=("sweep",),
            where=lambda run: run["sweep"] not in (DEFAULT, INTERVAL),
        ),
        Part(INTERVAL, (growth,), where={"sweep": INTERVAL, "who": OURS}),
        Part(
            "Selection", (selection, _maps), where={"sweep": DEFAULT},
            when=lambda runs: bool(runs[0].record.models),
        ),
    )  # fmt: skip

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return every policy at every value of every sweep, and the oracle at the default."""
        return [
            found
            for seed in settings.seeds
            for found in [
                *_defaults(settings, seed),
                *(
                    found
                    for budget in settings.budgets
                    for found in _sweep(UPDATES, settings, seed, budget)
                ),
                *(
                    found
                    for sweep in OTHER_SWEEPS
                    for found in _sweep(sweep, settings, seed, settings.limits.budget)
                ),
            ]
        ]


def _defaults(settings: StudySettings, seed: int) -> list[Episode]:
    return [
        episode(settings, policy, settings.limits, seed, (("sweep", DEFAULT),))
        for policy in dict.fromkeys((*settings.policies, ORACLE))
    ]


def _sweep(sweep: Sweep, settings: StudySettings, seed: int, budget: float) -> list[Episode]:
    values = sweep.small if settings.is_small else sweep.values
    random = replace(settings, workload=RandomArrivals(settings.workload))
    return [
        sweep.apply(
            episode(
                random, policy, settings.at_budget(budget), seed,
                (("sweep", sweep.name), ("value", value), ("who", policy)),
            ),
            value,
        )
        for value in values
        for policy in settings.policies
    ]  # fmt: skip
