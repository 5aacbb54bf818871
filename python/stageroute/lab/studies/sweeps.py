"""What each setting does: one at a time, around the default."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from stageroute.datasets.routerbench import RELEASE_ORDER
from stageroute.lab.columns import band, exponent, interval, key, loss, mean, waiting, worst
from stageroute.lab.declared import Cell, Curves, Each, LinesOf, Part, Scope, TableOf
from stageroute.lab.episodes import Episode
from stageroute.lab.results import Run, values
from stageroute.lab.shares import agreement, who_serves
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import HeatMap, LineFigure
from stageroute.policies.ours.stageroute import as_published
from stageroute.workloads import BuiltIn, LargePool, RandomArrivals

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
    """A setting, its values, and what a value changes of an episode."""

    name: str
    values: tuple[float, ...]
    changes: Callable[[Episode, Any], Mapping[str, Any]]
    small: tuple[float, ...]


def _gamma(base: Episode, value: float) -> Mapping[str, Any]:
    if base.policy == PUBLISHED:
        # Its γ is published too: the same algorithm with another one is StageRoute so set.
        return {"gamma": value, "policy": OURS, "limits": as_published(base.limits)}
    return {"gamma": value}


def _candidates(base: Episode, value: int) -> Mapping[str, Any]:
    return {"workload": LargePool(value, suite=base.seed % SUITES)}


def _arrivals(base: Episode, value: float) -> Mapping[str, Any]:
    assert isinstance(base.workload, RandomArrivals)
    return {"workload": RandomArrivals(base.workload.base, within=value)}


OTHER_SWEEPS: Final = (
    Sweep("M_max", (2, 3, 4, 6, 8, 11), lambda _, value: {"max_deployed": value}, (3, 4)),
    Sweep("b, USD per query", (0.0002, 0.0003, 0.0005, 0.001, 0.0015, 0.002, 0.003),
          lambda _, value: {"budget": value}, (0.0005, 0.001)),
    Sweep("α", (0.25, 0.3, 0.4, 0.5, 0.75, 1.0), lambda _, value: {"throughput_cap": value},
          (0.4, 1.0)),
    Sweep("γ", (0.01, 0.03, 0.1, 0.15, 0.3, 1.0, 3.0), _gamma, (0.1, 1.0)),
    Sweep("arrivals within, share of the stream", (0.02, 0.05, 0.1, 0.25, 0.5, 1.0), _arrivals,
          (0.1, 1.0)),
    Sweep("candidates", (10, 20, 50, 100, 200, 500, 1000), _candidates, (10, 20)),
)  # fmt: skip
UPDATES: Final = Sweep(
    INTERVAL, (5, 10, 20, 33, 50, 100, 200, 400), lambda _, value: {"num_stages": value}, (5, 20)
)
"""Swept at every budget, since it is what an operator asks first."""


def _learning(run: Run) -> float:
    """Return the part of the loss that is not waiting."""
    return loss(run) - waiting(run)


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

    def share(part: str) -> Cell:
        def of(run: Run) -> float:
            found = getattr(agreement(run.record, run.oracle().record), name)
            third = max(1, found.size // 3)
            parts = {"all": found, "first": found[:third], "last": found[-third:]}
            return float(parts[part].mean())

        return mean(of, ".1%")

    return {part: share(part) for part in ("all", "first", "last")}


def _maps(scope: Scope) -> list[HeatMap]:
    note = (
        "Models from top to bottom in order of arrival; grey: not there yet. The same rows as dark "
        "as the oracle's mean that the right models were found."
    )
    return who_serves(scope, (ORACLE, OURS), lambda _: note)


OVER_INTERVAL: Final = LinesOf(
    "Loss over the update interval, b = {budget:g}", "queries between two boundaries",
    "loss, %",
    (
        Curves(band(loss), "who"),
        Curves(band(waiting), label="waiting", where={"who": OURS}),
        Curves(band(_learning), label="learning", where={"who": OURS}),
    ),
    over=_between_boundaries, log_x=True, log_y=True,
    focus=lambda _: (OURS, "waiting", "learning"),
    note=f"Learning and waiting are the parts of what {OURS} loses. Long intervals lose twice: "
    "arrivals wait for a boundary, and models can be exchanged, hence tried, less often. "
    "Choose an interval where the line of the whole loss is still level.",
)  # fmt: skip

GROWTH: Final = TableOf(
    "Waiting over the update interval", ("budget",),
    {"b": key("budget", "g"), "grows as interval^": exponent(_between_boundaries, waiting)},
)  # fmt: skip

SELECTION: Final = TableOf(
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


def _everything_else(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield the default, with the oracle's, and the other sweeps."""
    for policy in dict.fromkeys((*settings.policies, ORACLE)):
        yield base.but({"sweep": DEFAULT}, policy=policy)
    for sweep in OTHER_SWEEPS:
        yield from _swept(sweep, base, settings)


def _swept(sweep: Sweep, base: Episode, settings: StudySettings) -> Iterator[Episode]:
    random = RandomArrivals(base.workload)
    for value in sweep.small if settings.is_small else sweep.values:
        for policy in settings.policies:
            usual = base.but(
                {"sweep": sweep.name, "value": value, "who": policy}, policy=policy, workload=random
            )
            yield usual.but(**sweep.changes(usual, value))


STUDY: Final = Study(
    "sweeps", "Sweeps",
    "How sensitive is each policy to each setting, and how often should it redeploy?",
    (
        Part(
            "{sweep}, b = {budget:g}", (TABLE, OVER_INTERVAL), by=("sweep", "budget"),
            where={"sweep": INTERVAL},
        ),
        Part(
            "{sweep}", (TABLE, _figure), by=("sweep",),
            where=lambda run: run["sweep"] not in (DEFAULT, INTERVAL),
        ),
        Part(INTERVAL, (GROWTH,), where={"sweep": INTERVAL, "who": OURS}),
        Part(
            "Selection", (SELECTION, _maps), where={"sweep": DEFAULT},
            when=lambda runs: bool(runs[0].record.models),
        ),
    ),
    StudySettings(
        workload=BuiltIn(arrival_order=RELEASE_ORDER), policies=(OURS, PUBLISHED, "greedy")
    ),
    partial(_swept, UPDATES), _everything_else,
)  # fmt: skip
