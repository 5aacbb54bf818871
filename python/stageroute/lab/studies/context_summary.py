"""What the study of context says: reward gained, and how much of what there is to gain."""

from collections.abc import Sequence
from typing import Final

from stageroute.lab.columns import column
from stageroute.lab.episodes import Record
from stageroute.lab.intervals import Floats, Interval, mean_interval
from stageroute.lab.results import StudyResults
from stageroute.lab.summary import Curve, LineFigure, Summary, Table

__all__ = ["BUDGETS", "HORIZONS", "summarise"]

BUDGETS, HORIZONS = "budgets", "horizons"
"""Parts of the study."""

YARDSTICK: Final = "oracle"
"""The stage oracle: the best there is without context."""

BOUNDS: Final = {
    "stageroute-family": "oracle-family",
    "stageroute-family-own-budget": "oracle-family",
    "oracle-family-own-budget": "oracle-family",
    "stageroute-task": "oracle-task",
    "stageroute-task-own-budget": "oracle-task",
    "linucb-task": "oracle-task",
}
"""What each policy could reach with the context it has, on the stage oracle's live set."""

OWN: Final = "-own-budget"

COLUMNS: Final = ("policy", "reward", "gain", "of the bound's", "mean", "worst running", "ns")
HEADS: Final = (("", 1), ("reward", 3), ("spend / b", 2), ("a query", 1))

Groups = dict[str, list[Record]]


def summarise(results: StudyResults, question: str) -> Summary:
    """Tell what context brought, by budget and by horizon."""
    at_budget = {
        budget: _by_policy(results.of(part=BUDGETS, budget=budget))
        for budget in results.settings["budgets"]
    }
    horizons = {
        horizon: _by_policy(results.of(part=HORIZONS, num_queries=horizon))
        for horizon in sorted({record.num_queries for record in results.of(part=HORIZONS)})
    }
    findings = [
        *(_gain_finding(groups, f"b = {budget:g}") for budget, groups in at_budget.items()),
        *(
            finding
            for budget, groups in at_budget.items()
            for finding in _sharing_findings(groups, f"b = {budget:g}")
        ),
        *_horizon_findings(horizons),
    ]
    tables = [
        *(_table(groups, results, f"b = {budget:g}") for budget, groups in at_budget.items()),
        _horizon_table(horizons),
    ]
    figures = (_budget_figure(at_budget), _horizon_figure(horizons))
    label = results.settings["workload"].get("path") or results.settings["workload"]["kind"]
    title = f"Context ({str(label).rsplit('/', maxsplit=1)[-1]})"
    return Summary(title, question, tuple(findings), tuple(tables), figures)


def _by_policy(records: Sequence[Record]) -> Groups:
    groups: Groups = {}
    for record in records:
        groups.setdefault(record.policy, []).append(record)
    return groups


def _gains(groups: Groups, policy: str) -> Floats:
    """Return what a policy earned more than the stage oracle, on each stream."""
    return column(groups[policy], "reward") - column(groups[YARDSTICK], "reward")


def _learning(groups: Groups) -> list[str]:
    """Return the policies that learn with context and share the budget, most reward first."""
    names = [
        policy for policy in groups if policy.startswith("stageroute-") and not policy.endswith(OWN)
    ]
    return sorted(names, key=lambda policy: -float(_gains(groups, policy).mean()))


def _realised(groups: Groups, policy: str) -> float | None:
    """Return the part of the bound's gain that a policy realised; None without a bound."""
    bound = BOUNDS.get(policy)
    if bound not in groups:
        return None
    possible = float(_gains(groups, bound).mean())
    return float(_gains(groups, policy).mean()) / possible if possible > 0 else None


def _gain_finding(groups: Groups, where: str) -> str:
    reward = float(column(groups[YARDSTICK], "reward").mean())
    plain = mean_interval(_gains(groups, "stageroute")).value if "stageroute" in groups else 0.0
    texts = []
    for policy in _learning(groups):
        gain = mean_interval(_gains(groups, policy))
        part = _realised(groups, policy)
        of_bound = f", {part:.0%} of what its oracle gains" if part is not None else ""
        spend = column(groups[policy], "spend").mean()
        texts.append(f"{policy} {_signed(gain)}{of_bound} (spend {spend:.3f} b)")
    if not texts:
        return f"{where}: the table has no context, so there is nothing to gain."
    return (
        f"{where}: the best mixture without context earns {reward:.4f} and StageRoute {plain:+.4f} "
        f"against it; {'; '.join(texts)}."
    )


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.4f} ({interval.low:+.4f} to {interval.high:+.4f})"


def _sharing_findings(groups: Groups, where: str) -> list[str]:
    """Say what sharing the budget is worth, for each context that was tried both ways."""
    findings = []
    for own in groups:
        shared = own.removesuffix(OWN)
        if own == shared or shared not in groups:
            continue
        gain = mean_interval(column(groups[shared], "reward") - column(groups[own], "reward"))
        findings.append(
            f"{where}: sharing one price of money instead of a budget for each query is worth "
            f"{_signed(gain)} to {shared}."
        )
    return findings


def _horizon_findings(horizons: dict[int, Groups]) -> list[str]:
    findings = []
    for policy in _learning(next(iter(horizons.values()))):
        parts = {
            horizon: part
            for horizon, groups in horizons.items()
            if (part := _realised(groups, policy)) is not None
        }
        if parts:
            texts = ", ".join(f"{part:.0%} at T = {horizon:,}" for horizon, part in parts.items())
            findings.append(f"Of what its oracle gains {policy} realises {texts}.")
    return findings


def _table(groups: Groups, results: StudyResults, part: str) -> Table:
    rows = []
    for policy, records in groups.items():
        realised = _realised(groups, policy)
        times = [
            results.timings[record.key]["nanoseconds_per_query"]
            for record in records
            if record.key in results.timings
        ]
        rows.append(
            (
                policy,
                f"{column(records, 'reward').mean():.4f}",
                mean_interval(_gains(groups, policy)).text(4),
                "-" if realised is None else f"{realised:.0%}",
                f"{column(records, 'spend').mean():.3f}",
                f"{column(records, 'worst_running_spend').max():.3f}",
                f"{min(times):,.0f}" if times else "-",
            )
        )
    note = (
        "Gain: reward more than the stage oracle's, the best without context, on the same streams. "
        "Bound: the oracle with the same context on the same live set. Time: the fastest of the "
        "seeds, on one machine; oracles with context are replayed query by query from Python."
    )
    return Table(part, COLUMNS, tuple(rows), note, heads=HEADS, part=part)


def _horizon_table(horizons: dict[int, Groups]) -> Table:
    policies = [policy for policy in next(iter(horizons.values())) if policy != YARDSTICK]
    rows = [
        (
            policy,
            *(mean_interval(_gains(groups, policy)).text(4) for groups in horizons.values()),
        )
        for policy in policies
    ]
    columns = ("policy", *(f"T = {horizon:,}" for horizon in horizons))
    budget = next(iter(horizons.values()))[YARDSTICK][0].budget
    title = f"Gain over the stage oracle by horizon, b = {budget:g}"
    return Table(title, columns, tuple(rows), part="Horizon")


def _curve(policy: str, xs: Sequence[float], groups: Sequence[Groups], *, is_bound: bool) -> Curve:
    gains = [mean_interval(_gains(group, policy)) for group in groups]
    return Curve(
        policy,
        xs,
        [gain.value for gain in gains],
        [gain.low for gain in gains],
        [gain.high for gain in gains],
        is_reference=is_bound,
    )


def _curves(by_x: dict[float, Groups]) -> tuple[Curve, ...]:
    groups = list(by_x.values())
    names = [name for name in groups[0] if name != YARDSTICK and name != "oracle-family-own-budget"]
    xs = list(by_x)
    return tuple(_curve(name, xs, groups, is_bound=name.startswith("oracle")) for name in names)


def _budget_figure(at_budget: dict[float, Groups]) -> LineFigure:
    return LineFigure(
        "Reward gained by context", "b, USD per query", "reward above the stage oracle's",
        _curves(at_budget), log_x=True, level=0.0, part="All budgets",
        note="At 0: the best mixture without context. References are the oracles with context.",
    )  # fmt: skip


def _horizon_figure(horizons: dict[int, Groups]) -> LineFigure:
    return LineFigure(
        "Learning per context costs data", "T, queries", "reward above the stage oracle's",
        _curves({float(horizon): groups for horizon, groups in horizons.items()}),
        log_x=True, level=0.0, part="Horizon",
    )  # fmt: skip
