"""The main job: a few policies over a table of outcomes, with traffic and times."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from stageroute.lab.columns import (
    RUNNING_COLUMNS,
    column,
    key,
    lp_share,
    mean,
    median,
    plain_regret,
    quantile,
    time,
    worst,
)
from stageroute.lab.declared import Curves, LinesOf, Part, Scope, TableOf
from stageroute.lab.results import Runs, by
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import Table

TABLE: Final = TableOf(
    "Regret, spend and times", ("policy",),
    {
        "{part}": key("policy"),
        "regret, %": {
            "median": median(plain_regret),
            "p10": quantile(plain_regret, 0.1),
            "p90": quantile(plain_regret, 0.9),
            "worst": worst(plain_regret),
        },
        "reward": mean("reward", ".4f"),
        "spend / b": {"mean": mean("spend", ".4f"), "worst": worst("spend", ".4f")},
        "running": RUNNING_COLUMNS,
        "infeasible %": mean(lp_share("budget_infeasible", "cap_infeasible")),
        "ns / query": median(time("nanoseconds_per_query"), ".0f"),
        "deploy ms": median(time("milliseconds_deploying"), ".1f"),
    },
    """\
regret      cumulative, against the stage oracle as a share of its reward: median over seeds, with
            10th and 90th percentile and worst seed (below 0: more reward than the oracle, by luck
            or by overspending)
spend / b   at the end, as a multiple of the budget: mean over seeds, and worst seed
running     largest spend / b at any time after query 1,000: median over seeds, and worst seed
infeasible  share of decisions for which no live mixture met budget and caps; the cheapest served
ns / query  routing and learning in the native replay, median over seeds
deploy ms   all stage boundaries of one run, median over seeds""",
)  # fmt: skip


def _traffic(scope: Scope) -> list[Table]:
    """Return the mean share of traffic of each model, in percent."""
    policies = by(scope.runs, "policy")
    models = dict.fromkeys(model for run in scope.runs for model in run.record.models)
    rows = [
        (model, *(f"{100 * _share(runs, model):.1f}" for runs in policies.values()))
        for model in models
    ]
    columns = (scope.text("{part}"), *policies)
    return [Table("Share of traffic, %", columns, tuple(rows), part=scope.part)] if rows else []


def _share(runs: Runs, model: str) -> float:
    return float(np.mean([run.record.shares[run.record.models.index(model)] for run in runs]))


def _spread(name: str) -> Callable[[Runs], Any]:
    """Return what gives the median over seeds, with the 10th and 90th percentile."""
    return lambda runs: tuple(np.quantile(column(runs, name), [0.5, 0.1, 0.9], axis=0))


REGRET: Final = LinesOf(
    "Cumulative regret, {part}", "query", "reward lost against the oracle",
    (Curves(_spread("cumulative_regret"), "policy"),),
    x=lambda runs: runs[0].record.curve_queries, where=lambda run: run["policy"] != "oracle",
    log_y=True,
)  # fmt: skip

SPEND: Final = LinesOf(
    "Spend against the budget, {part}", "query", "spend so far / budget so far",
    (Curves(_spread("running_spend"), "policy"),),
    x=lambda runs: runs[0].record.curve_queries, level=1.0, y_range=(0.0, 2.5),
)  # fmt: skip

STUDY: Final = Study(
    "bench", "Bench", "How do these policies do on a table of outcomes?",
    (Part("b = {budget:g}", (TABLE, _traffic, REGRET, SPEND), by=("budget",)),),
    StudySettings(policies=("stageroute", "greedy", "uniform", "oracle")),
)  # fmt: skip
