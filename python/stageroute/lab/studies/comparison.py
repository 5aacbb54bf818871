"""Which policy is best: regret and spend of all of them on the same streams."""

from typing import Final

import numpy as np

from stageroute.lab.columns import (
    band,
    column,
    interval,
    key,
    mean,
    plain_regret,
    points,
    quantile,
    worst,
)
from stageroute.lab.declared import Best, Cell, Curves, LinesOf, Part, Scope, TableOf
from stageroute.lab.duels import KNOWING, OURS, WITHIN_BUDGET
from stageroute.lab.results import Run, Runs, by
from stageroute.lab.shares import agreement, share_over_caps, who_serves
from stageroute.lab.study import Study, StudySettings
from stageroute.lab.summary import HeatMap, PointFigure, Table
from stageroute.policies import POLICIES

WITHIN_CAPS: Final = 0.05
"""A policy keeps to the caps if no more of the queries are served beyond them, stage by stage.
Drawing from a mixture that respects them ends at 1 or 2 %, by chance."""

RIVALS_IN_FOCUS: Final = 3
"""How many of the best other policies figures show in colour."""

NEAR_BEST: Final = 0.9
"""Rewards that the figure of reward against cost shows, as a share of the highest."""

NOTE: Final = (
    "Over {seeds} seeds; below a mean or median, what covers it with 95 % (bootstrap over seeds). "
    f"Marked: the best of those that keep to the caps and their mean spend within {WITHIN_BUDGET} "
    "b, oracles apart. Regret is a share of the stage oracle's expected reward and counts the mean "
    "reward of the models chosen: it can be negative where a policy overspends or exceeds caps, "
    "and what a policy gains by knowing a query's task shows in its reward alone. More than the "
    "best: regret beyond that of the marked policy with the least mean, paired by seed. Over cap: "
    "the share of the queries that models served beyond their caps, stage by stage; 1 or 2 % is "
    "chance. Running: the largest spend so far / budget so far from query 1,000 on. Stage: the "
    "largest overspend of a stage. Starts: models started."
)


def _keeps_to_limits(runs: Runs) -> bool:
    """Whether a policy keeps to budget and caps, and is told nothing that others must learn."""
    return bool(
        runs[0]["policy"] not in KNOWING
        and column(runs, "spend").mean() <= WITHIN_BUDGET
        and column(runs, share_over_caps).mean() <= WITHIN_CAPS
    )


def _ranked(runs: Runs) -> list[str]:
    """Return the policies that keep to budget and caps, least mean regret first."""
    kept = {policy: of for policy, of in by(runs, "policy").items() if _keeps_to_limits(of)}
    return sorted(kept, key=lambda policy: column(kept[policy], "regret").mean())


def _in_focus(runs: Runs) -> list[str]:
    """Return the policies that figures show in colour; not those that do as StageRoute does."""
    regret = {policy: column(of, "regret").tolist() for policy, of in by(runs, "policy").items()}
    rivals = [policy for policy in _ranked(runs) if regret[policy] != regret.get(OURS)]
    return [OURS, "oracle", *rivals[:RIVALS_IN_FOCUS]]


def _more_than(best: str) -> Cell:
    def difference(run: Run) -> float:
        other = run.beside(best)
        assert other is not None
        return plain_regret(run) - plain_regret(other)

    return lambda runs: "-" if runs[0]["policy"] == best else interval(difference)(runs)


def _table(scope: Scope) -> list[Table]:
    best = next(iter(_ranked(scope.runs)), None)
    return TableOf(
        "All policies at b = {budget:g}", ("policy",),
        {
            "policy": key("policy"),
            "regret, %": {
                "mean": Best("least", interval(plain_regret)),
                "median": Best("least", interval(plain_regret, statistic=np.median)),
                "p90": Best("least", quantile(plain_regret, 0.9)),
                "worst": Best("least", worst(plain_regret)),
                "more than the best": _more_than(best) if best else lambda _: "-",
            },
            "spend / b": {
                "mean": interval("spend", 3),
                "worst": worst("spend", ".3f"),
                "running": worst("worst_running_spend", ".3f"),
                "stage": worst("largest_stage_violation", "+.1%"),
            },
            "over cap": mean(share_over_caps, ".1%"),
            "reward": Best("most", mean("reward", ".4f")),
            "starts": mean("starts", ".1f"),
        },
        NOTE, able=_keeps_to_limits,
    )(scope)  # fmt: skip


def _reward_against_cost(scope: Scope) -> list[PointFigure]:
    found = points(scope.runs, "policy", "spend", "reward", _in_focus(scope.runs))
    best = max(point.y for point in found)
    return [
        PointFigure(
            "Reward against cost", "spend / b", "mean reward", found, front=True, upright=1.0,
            part=scope.part, x_range=(0.8, 1.2),
            y_range=(NEAR_BEST * best, best + 0.1 * (1.0 - NEAR_BEST) * best),
            note="Up and to the left is better; right of the upright line is over budget. The "
            "line joins policies that none beats in both. Crosses cover the means with 95 %. "
            "Hollow, at the edges: policies far away. Grey ones are named where there is "
            "room; all have their values in the table.",
        )
    ]  # fmt: skip


def _maps(scope: Scope) -> list[HeatMap]:
    """Share of every model in every stage: StageRoute's, the oracle's and the best rival's."""
    return who_serves(scope, _in_focus(scope.runs)[:3], _agreement)


def _agreement(runs: Runs) -> str:
    """Say on how much of the traffic a policy agrees with the oracle, stage by stage."""
    order = "Models in order of arrival; grey: not there yet."
    pairs = [(run.record, oracle.record) for run in runs if (oracle := run.beside("oracle"))]
    if runs[0]["policy"] == "oracle" or not pairs:
        return order
    common = float(np.mean([agreement(*pair).served.mean() for pair in pairs]))
    return f"{order} Shares agree with the oracle's on {100 * common:.0f} % of the traffic."


REGRET: Final = LinesOf(
    "Cumulative regret", "query", "expected reward lost against the oracle",
    (Curves(band("cumulative_regret"), "policy"),),
    x=lambda runs: runs[0].record.curve_queries, focus=_in_focus, log_y=True,
    note="Lower is better; logarithmic but about 0. Lines are means over {seeds} seeds, bands "
    "cover them with 95 %. A line that flattens has learned.",
)  # fmt: skip

SPEND: Final = LinesOf(
    "Spend against the budget", "query", "spend so far / budget so far",
    (Curves(band("running_spend"), "policy"),),
    x=lambda runs: runs[0].record.curve_queries, focus=_in_focus, level=1.0, y_range=(0.5, 1.5),
    note="At 1 all of the budget is spent, above it more than was allowed.",
)  # fmt: skip

SHOWS: Final = _table, REGRET, SPEND, _reward_against_cost, _maps

STUDY: Final = Study(
    "comparison", "Comparison of policies",
    "Which policy loses least against the stage oracle, and which keeps to the budget?",
    (Part("b = {budget:g} USD per query", SHOWS, by=("budget",)),),
    StudySettings(policies=tuple(POLICIES)),
)  # fmt: skip
