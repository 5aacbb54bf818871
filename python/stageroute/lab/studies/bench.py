"""The main job: a few policies over a table of outcomes, with traffic and times."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from stageroute.lab.columns import column, key, mean, median, plain_regret, quantile, timed, worst
from stageroute.lab.declared import Curves, LinesOf, Part, Scope, TableOf
from stageroute.lab.intervals import Floats
from stageroute.lab.runs import Runs, group
from stageroute.lab.studies.comparison import Comparison
from stageroute.lab.study import StudySettings
from stageroute.lab.summary import Table

__all__ = ["Bench"]

NOTE: Final = """\
regret      cumulative, against the stage oracle as a share of its reward: median over seeds, with
            10th and 90th percentile and worst seed (below 0: more reward than the oracle, by luck
            or by overspending)
spend / b   at the end, as a multiple of the budget: mean over seeds, and worst seed
running     largest spend / b at any time after query 1,000: median over seeds, and worst seed
infeasible  share of decisions for which no live mixture met budget and caps; the cheapest served
ns / query  routing and learning in the native replay, median over seeds
deploy ms   all stage boundaries of one run, median over seeds"""


def _infeasible(runs: Runs) -> str:
    """Return the mean share of decisions without a mixture within limits; - without an LP."""
    counts = [run.record.lp_status_counts for run in runs]
    if not counts[0]:
        return "-"
    shares = [(n["budget_infeasible"] + n["cap_infeasible"]) / sum(n.values()) for n in counts]
    return f"{100 * np.mean(shares):.2f}"


def _traffic(scope: Scope) -> list[Table]:
    """Return the mean share of traffic of each model, in percent."""
    policies = {policy: runs for (policy,), runs in group(scope.runs, "policy").items()}
    models = sorted({model for run in scope.runs for model in run.record.models})
    if not models:
        return []
    in_order = scope.runs[0].record.models
    rows = [
        (model, *(f"{100 * _share(runs, model):.1f}" for runs in policies.values()))
        for model in sorted(models, key=in_order.index)
    ]
    columns = (scope.text("{part}"), *policies)
    return [Table("Share of traffic, %", columns, tuple(rows), part=scope.part)]


def _share(runs: Runs, model: str) -> float:
    return float(np.mean([run.record.shares[run.record.models.index(model)] for run in runs]))


def _spread(name: str) -> Callable[[Runs], Any]:
    """Return what gives the median over seeds, with the 10th and 90th percentile."""

    def show(runs: Runs) -> tuple[Floats, Floats, Floats]:
        low, middle, high = np.quantile(column(runs, name), [0.1, 0.5, 0.9], axis=0)
        return middle, low, high

    return show


class Bench(Comparison):
    """StageRoute beside the paper's baselines and the oracle, over a table of outcomes."""

    name = "bench"
    title = "Bench"
    question = "How do these policies do on a table of outcomes?"
    full = StudySettings(policies=("stageroute", "greedy", "uniform", "oracle"))

    table = TableOf(
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
            "running": {
                "median": median("worst_running_spend", ".3f"),
                "worst": worst("worst_running_spend", ".3f"),
            },
            "infeasible %": _infeasible,
            "ns / query": timed("nanoseconds_per_query", ".0f"),
            "deploy ms": timed("milliseconds_deploying", ".1f"),
        },
        note=NOTE,
    )  # fmt: skip
    regret_over_time = LinesOf(
        "Cumulative regret, {part}", "query", "reward lost against the oracle",
        (Curves(_spread("cumulative_regret"), "policy"),),
        x=lambda runs: runs[0].record.curve_queries,
        where=lambda run: run["policy"] != "oracle", log_y=True,
    )  # fmt: skip
    spend_over_time = LinesOf(
        "Spend against the budget, {part}", "query", "spend so far / budget so far",
        (Curves(_spread("running_spend"), "policy"),),
        x=lambda runs: runs[0].record.curve_queries, level=1.0, y_range=(0.0, 2.5),
    )  # fmt: skip
    parts = (
        Part(
            "b = {budget:g}", (table, _traffic, regret_over_time, spend_over_time), by=("budget",)
        ),
    )
