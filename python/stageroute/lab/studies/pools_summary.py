"""What the study of large pools says: regret, what was tried, what it took."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from stageroute.lab.columns import column
from stageroute.lab.episodes import Record
from stageroute.lab.intervals import mean_interval
from stageroute.lab.results import StudyResults
from stageroute.lab.studies.parts import (
    REGRET_COLUMNS,
    REGRET_NOTE,
    curve,
    mean_regret,
    mean_spend,
    percent_regret,
    regret_cells,
)
from stageroute.lab.summary import Figure, LineFigure, Point, PointFigure, Summary, Table

__all__ = ["KNOWLEDGE", "SIZE", "SLOTS", "summarise"]

SIZE, KNOWLEDGE, SLOTS = "size", "knowledge", "slots"

NOTE: Final = (
    f"{REGRET_NOTE} Tried: share of the models that arrive which ever serve a query. Deployment: "
    "one stage boundary, new models added included, native solver. Times are those of this run."
)


def summarise(results: StudyResults, question: str) -> Summary:
    """Tell how it goes, and what helps."""
    return Summary(
        title="Large pools",
        question=question,
        findings=(*_size_findings(results), _knowledge_finding(results), *_slot_findings(results)),
        tables=(
            replace(_size_table(results), note=NOTE),
            _knowledge_table(results),
            _slot_table(results),
        ),
        figures=(_size_figure(results), _knowledge_figure(results)),
    )


def _tried(records: Sequence[Record]) -> float:
    return float(np.mean([record.newcomers_tried or 0.0 for record in records]))


def _groups(results: StudyResults, part: str) -> dict[tuple[int, str], list[Record]]:
    groups: dict[tuple[int, str], list[Record]] = {}
    for record in results.of(part=part):
        cell = record.cell_values
        groups.setdefault((cell["N"], cell["who"]), []).append(record)
    return groups


def _size_table(results: StudyResults) -> Table:
    rows = [
        (
            who, f"{size:,}", f"{records[0].budget:g}", *regret_cells(records),
            f"{100 * _tried(records):.0f}", *_times(results, records),
        )
        for (size, who), records in _groups(results, SIZE).items()
    ]  # fmt: skip
    columns = (
        "told, or policy",
        "N",
        "b",
        *REGRET_COLUMNS,
        "tried %",
        "ns / query",
        "ms / deployment",
    )
    return Table("Over the size of the pool", columns, tuple(rows), part=SIZE)


def _times(results: StudyResults, records: Sequence[Record]) -> tuple[str, str]:
    """Return the median time of a query and of a deployment; dashes where no times were kept."""
    kept = [(record, results.timings.get(record.key)) for record in records]
    found = [(record, timing) for record, timing in kept if timing]
    if not found:
        return "-", "-"
    routing = np.median([timing["nanoseconds_per_query"] for _, timing in found])
    deploying = np.median(
        [timing["milliseconds_deploying"] / record.num_stages for record, timing in found]
    )
    return f"{routing:,.0f}", f"{deploying:.3g}"


def _knowledge_table(results: StudyResults) -> Table:
    rows = [
        (who, *regret_cells(records), f"{100 * _tried(records):.0f}", _starts(records))
        for (_, who), records in _groups(results, KNOWLEDGE).items()
    ]
    (size,) = {size for size, _ in _groups(results, KNOWLEDGE)}
    columns = ("told", *REGRET_COLUMNS, "tried %", "starts")
    title = f"Over what is known of {size:,} models"
    return Table(title, columns, tuple(rows), part=KNOWLEDGE)


def _starts(records: Sequence[Record]) -> str:
    return mean_interval(column(records, "starts")).text(0)


def _slot_table(results: StudyResults) -> Table:
    rows = []
    for stages in results.distinct("K"):
        for slots in results.distinct("M_max"):
            for who in results.distinct("who"):
                records = results.of(part=SLOTS, K=stages, M_max=slots, who=who)
                if records:
                    tried = f"{100 * _tried(records):.0f}"
                    row = (who, f"{stages}", f"{slots}", f"{stages * slots:,}")
                    rows.append((*row, *regret_cells(records), tried))
    columns = ("told", "K", "M_max", "slots", *REGRET_COLUMNS, "tried %")
    return Table("Over the slots that stages offer", columns, tuple(rows), part=SLOTS)


def _size_findings(results: StudyResults) -> list[str]:
    groups = _groups(results, SIZE)
    sizes = dict.fromkeys(size for size, _ in groups)
    texts = []
    for size in sizes:
        found = {who: records for (of, who), records in groups.items() if of == size}
        said = [
            f"{who} {mean_regret(records):.1%} at {mean_spend(records):.2f} b"
            for who, records in found.items()
        ]
        first = next(iter(found.values()))
        budget, tried = first[0].budget, _tried(first)
        texts.append(
            f"{size:,} models, b = {budget:g}: regret {', '.join(said)}; with prices alone "
            f"StageRoute tries {tried:.0%} of the newcomers."
        )
    return texts


def _knowledge_finding(results: StudyResults) -> str:
    groups = {who: records for (_, who), records in _groups(results, KNOWLEDGE).items()}
    order = sorted(groups, key=lambda who: mean_regret(groups[who]))
    return (
        "By what StageRoute is told, from the least regret to the most: "
        + "; ".join(
            f"{who} {mean_regret(groups[who]):.1%} at {mean_spend(groups[who]):.2f} b"
            for who in order
        )
        + "."
    )


def _slot_findings(results: StudyResults) -> list[str]:
    texts = []
    for who in dict.fromkeys(record.cell_values["who"] for record in results.of(part=SLOTS)):
        records = results.of(part=SLOTS, who=who)
        cells = dict.fromkeys((one.cell_values["K"], one.cell_values["M_max"]) for one in records)
        regret = {
            (stages, slots): mean_regret(results.of(part=SLOTS, who=who, K=stages, M_max=slots))
            for stages, slots in cells
        }
        best = min(regret, key=lambda cell: regret[cell])
        first = next(iter(regret))
        texts.append(
            f"{who}: regret {regret[first]:.1%} with K = {first[0]} and M_max = {first[1]}, least "
            f"with K = {best[0]} and M_max = {best[1]}, {regret[best]:.1%}."
        )
    return texts


def _size_figure(results: StudyResults) -> Figure:
    groups = _groups(results, SIZE)
    curves = []
    for who in dict.fromkeys(who for _, who in groups):
        sizes = [size for size, of in groups if of == who]
        curves.append(curve(who, sizes, [groups[size, who] for size in sizes]))
    return LineFigure(
        "Regret over the size of the pool", "models", "regret, %", tuple(curves), log_x=True,
        note="The largest pool has twice the budget: its first models are dear.", part=SIZE,
    )  # fmt: skip


def _knowledge_figure(results: StudyResults) -> Figure:
    points = []
    for (_, who), records in _groups(results, KNOWLEDGE).items():
        kept = mean_interval(100.0 - percent_regret(records))
        spend = mean_interval(column(records, "spend"))
        points.append(
            Point(
                _short(who), spend.value, kept.value, (spend.low, spend.high), (kept.low, kept.high)
            )
        )
    return PointFigure(
        "What it is told, and what it makes of the budget", "spend / b",
        "reward kept, % of the oracle's", tuple(points), upright=1.0, part=KNOWLEDGE,
        note="Prices are known where nothing else is said. ±: scores with such an error, ×: of "
        "such a weight, where it is not 20.",
    )  # fmt: skip


def _short(who: str) -> str:
    """Return a label that has room in the figure."""
    short = who.removeprefix("prices, ").replace("scores ", "").replace(", weight ", " × ")
    return short.replace("and quality from them", "quality by price")
