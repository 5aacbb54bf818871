"""What the study of the budget's price says; prices are in reward per b USD, to compare."""

import json
from collections.abc import Sequence
from typing import Final

import numpy as np

from stageroute.lab.episodes import Record
from stageroute.lab.intervals import Floats, bands
from stageroute.lab.power_law import fit_power_law
from stageroute.lab.results import StudyResults
from stageroute.lab.summary import Curve, Figure, LineFigure, Summary, Table

__all__ = ["FREE", "PACED", "infinite_share", "summarise"]

PACED, FREE = "paced", "not paced"

QUANTILES: Final = ("median", "p90", "p99", "largest")
"""As in `Record.budget_price`."""

Groups = dict[float, list[Record]]
"""Records by ratio of the budget to the cost of the cheapest mixture at the start."""


def summarise(results: StudyResults, question: str) -> Summary:
    """Tell how large prices became, workload by workload."""
    findings: list[str] = []
    tables: list[Table] = []
    figures: list[Figure] = []
    for workload in results.distinct("workload"):
        by_pacing = {
            pacing: _by_ratio(results.of(workload=workload, pacing=pacing))
            for pacing in (PACED, FREE)
        }
        findings.append(_finding(workload, by_pacing))
        tables += [_table(groups, workload, pacing) for pacing, groups in by_pacing.items()]
        figures += _figures(by_pacing, workload)
    return Summary(
        "The budget's price",
        question,
        (_overall(results), *findings),
        tuple(tables),
        tuple(figures),
    )


def infinite_share(record: Record) -> float:
    """Return the share of the queries at which no mixture met the budget of the moment."""
    counts = json.loads(record.lp_counts)
    short = counts.get("throttled", 0) + counts.get("budget_infeasible", 0)
    return float(short / record.num_queries)


def _by_ratio(records: Sequence[Record]) -> Groups:
    groups: Groups = {}
    for record in records:
        groups.setdefault(record.cell_values["ratio"], []).append(record)
    return groups


def _prices(records: Sequence[Record]) -> Floats:
    """Return quantiles of finite prices times b, shape (records, 4); NaN where there is none."""
    rows = [record.budget_price or [np.nan] * len(QUANTILES) for record in records]
    budgets = np.array([record.budget for record in records])
    return np.asarray(np.array(rows) * budgets[:, None])


def _largest(records: Sequence[Record]) -> float:
    return float(np.nanmax(_prices(records)[:, -1], initial=0.0))


def _overall(results: StudyResults) -> str:
    """Answer the question over all workloads."""
    texts = []
    for pacing in (PACED, FREE):
        records = results.of(pacing=pacing)
        finite = [record for record in records if np.isfinite(record.cell_values["bound"])]
        within = np.mean([_largest([r]) <= r.cell_values["bound"] * (1 + 1e-9) for r in finite])
        usual = float(np.nanquantile(_prices(records)[:, 2], 0.95))
        texts.append(
            f"{pacing}, the largest finite λ of all is {_largest(records):.3g} rewards per b USD, "
            f"95 % of the episodes have a 99th percentile of at most {usual:.3g}, "
            f"{within:.0%} of them keep to the bound that holds for the true means, and "
            f"{np.mean([infinite_share(record) for record in records]):.1%} of the queries have "
            "no finite price"
        )
    return f"Over {len(results.distinct('workload'))} workloads: {'; '.join(texts)}."


def _finding(workload: str, by_pacing: dict[str, Groups]) -> str:
    groups = by_pacing[PACED]
    tight, loose = min(groups), max(groups)
    text = (
        f"{workload}: the empirical Λ (largest finite λ, paced) is "
        f"{_largest(groups[tight]):.3g} rewards per b USD at b = {tight:g} times the cheapest "
        f"mixture and {_largest(groups[loose]):.3g} at {loose:g} times; medians are "
        f"{_median(groups[tight]):.2g} and {_median(groups[loose]):.2g}"
    )
    infinite = max(np.mean([infinite_share(r) for r in records]) for records in groups.values())
    text += f"; at most {infinite:.1%} of the queries have no finite price"
    law = fit_power_law([r - 1.0 for r in groups], [_prices(g)[:, 2] for g in groups.values()])
    if law is not None:
        e = law.exponent
        text += (
            f"; the 99th percentile grows like (b / cheapest - 1)^{e.value:.2f} "
            f"({e.low:.2f} to {e.high:.2f})"
        )
    return text + "."


def _median(records: Sequence[Record]) -> float:
    values = _prices(records)[:, 0]
    return float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0


def _table(groups: Groups, workload: str, pacing: str) -> Table:
    rows = []
    for ratio, records in groups.items():
        prices, cell = _prices(records), records[0].cell_values
        has_prices = bool(np.isfinite(prices).any())
        quantiles = [f"{np.nanmedian(column):.3g}" for column in prices.T[:-1]]
        rows.append(
            (
                f"{ratio:g}",
                f"{records[0].budget:.3g}",
                *(quantiles if has_prices else ["-"] * len(quantiles)),
                f"{_largest(records):.3g}" if has_prices else "-",
                f"{cell['oracle']:.3g}",
                f"{cell['bound']:.3g}",
                f"{np.mean([infinite_share(record) for record in records]):.1%}",
                f"{np.mean([record.spend for record in records]):.3f}",
            )
        )
    note = (
        "λ in rewards per b USD over the queries where it is finite: medians over the seeds of "
        "its quantiles, and the largest of all. Oracle: the largest over the stages for the true "
        "means; bound: what it can be at most there, (V(∞) - V(cheapest)) b / (b - cheapest). "
        "Infinite: no mixture met the budget of the moment."
    )
    columns = (
        "b / cheapest", "b, USD", *QUANTILES, "oracle", "bound", "infinite", "spend / b",
    )  # fmt: skip
    heads = (("", 2), ("λ b of StageRoute", 4), ("λ b, true means", 2), ("", 2))
    return Table(f"{workload}, {pacing}", columns, tuple(rows), note, heads=heads, part=workload)


def _figures(by_pacing: dict[str, Groups], workload: str) -> list[Figure]:
    curves = []
    for pacing, groups in by_pacing.items():
        x = [ratio - 1.0 for ratio in groups]
        for place, quantile in ((0, "median"), (2, "p99"), (3, "largest")):
            if pacing == FREE and quantile != "largest":
                continue
            columns = [_prices(records)[:, place] for records in groups.values()]
            y = [np.nanmax(c, initial=0.0) if place == 3 else _middle(c) for c in columns]
            curves.append(Curve(f"{quantile}, {pacing}", x, [v or np.nan for v in y]))
    groups = by_pacing[PACED]
    x = [ratio - 1.0 for ratio in groups]
    bound = [records[0].cell_values["bound"] for records in groups.values()]
    curves.append(Curve("bound, true means", x, bound, is_reference=True))
    over_time = [
        Curve(f"b = {ratio:g} times cheapest", np.arange(1, stages.shape[1] + 1), *bands(stages))
        for ratio, records in groups.items()
        if (stages := _stage_prices(records)).size
    ]
    return [
        LineFigure(
            f"λ against the budget: {workload}", "b / cheapest mixture - 1", "λ b, reward",
            tuple(curves), log_x=True, log_y=True, part=workload,
        ),
        LineFigure(
            f"λ over the stages: {workload}", "stage", "λ b, reward", tuple(over_time[::2]),
            log_y=True, part=workload, note="Mean of each stage where finite; gaps: nowhere.",
        ),
    ]  # fmt: skip


def _middle(values: Floats) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def _stage_prices(records: Sequence[Record]) -> Floats:
    return np.array([record.budget * np.array(record.stage_budget_price) for record in records])
