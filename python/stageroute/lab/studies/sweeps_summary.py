"""What the sweeps say: tables and curves over each setting, and how often to redeploy."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from stageroute.lab.columns import column, loss, waiting
from stageroute.lab.episodes import Record
from stageroute.lab.intervals import Floats, bands, mean_interval
from stageroute.lab.power_law import fit_power_law
from stageroute.lab.results import StudyResults
from stageroute.lab.shares import agreement, mean_shares
from stageroute.lab.summary import Curve, Figure, HeatMap, LineFigure, Summary, Table

__all__ = ["DEFAULT", "INTERVAL", "summarise"]

DEFAULT: Final = "none"
"""The cell without a sweep."""

INTERVAL: Final = "K"
"""The sweep that says how often to redeploy."""

OURS: Final = "stageroute"

ENOUGH: Final = 0.001
"""Redeploying more often than needed to come so close to the least loss is of no use."""

NOTE: Final = (
    "Loss in %, mean over the seeds, in brackets what covers it with 95 %: what is lost against an "
    "oracle that redeploys at every arrival, so waiting for stage boundaries counts, and so does "
    "what was spent beyond b T, at the oracle's price. Waiting: the part that no policy can avoid."
)

Groups = dict[float, dict[str, list[Record]]]
"""Records by value and policy."""


def summarise(results: StudyResults, question: str) -> Summary:
    """Tell what each sweep says."""
    findings: list[str] = []
    tables: list[Table] = []
    figures: list[Figure] = []
    for budget in results.settings["budgets"]:
        groups = _groups(results.of(sweep=INTERVAL, budget=budget))
        part = f"{INTERVAL}, b = {budget:g}"
        findings.append(_guidance(groups, part, results.settings["limits"]["max_deployed"]))
        tables.append(_table(groups, INTERVAL, part))
        figures.append(_interval_figure(groups, part))
    for name in results.distinct("sweep"):
        if name in (DEFAULT, INTERVAL):
            continue
        groups = _groups(results.of(sweep=name))
        findings.append(_range_finding(groups, name))
        tables.append(_table(groups, name, name))
        figures.append(_figure(groups, name))
    default = {who: results.of(sweep=DEFAULT, policy=who) for who in results.distinct("policy")}
    agreements = _agreement_table(default)
    if agreements is not None:
        findings.append(_agreement_finding(default))
        tables.append(agreements)
        figures += _heat_maps(default)
    return Summary(
        title="Sweeps",
        question=question,
        findings=tuple(findings),
        tables=(replace(tables[0], note=NOTE), *tables[1:]),
        figures=tuple(figures),
    )


def _groups(records: Sequence[Record]) -> Groups:
    groups: Groups = {}
    for record in records:
        cell = record.cell_values
        groups.setdefault(cell["value"], {}).setdefault(cell["who"], []).append(record)
    return dict(sorted(groups.items()))


def _policies(groups: Groups) -> list[str]:
    return list(next(iter(groups.values())))


def _table(groups: Groups, name: str, part: str) -> Table:
    policies = _policies(groups)
    rows = []
    for value, by_policy in groups.items():
        first = next(iter(by_policy.values()))
        cells = [
            f"{100 * waiting(first).mean():.2f}",
            f"{column(first, 'oracle_reward').mean():.3f}",
        ]
        for records in by_policy.values():
            lost = 100 * loss(records)
            spent = column(records, "spend")
            cells += [mean_interval(lost).text(), f"{lost.max():.1f}", f"{spent.mean():.3f}"]
        rows.append((f"{value:g}", *cells))
    heads = (("", 3), *((policy, 3) for policy in policies))
    columns = (name, "waiting %", "oracle", *("loss %", "worst", "spend / b") * len(policies))
    return Table(f"Over {part}", columns, tuple(rows), heads=heads, part=part)


def _means(groups: Groups, who: str, figure: Callable[[Sequence[Record]], Floats]) -> Floats:
    """Return the mean over the seeds of a figure of a policy at every value."""
    return np.array([figure(by_policy[who]).mean() for by_policy in groups.values()])


def _interval(groups: Groups) -> Floats:
    """Return the queries between two boundaries at every value of K."""
    first = [next(iter(by_policy.values()))[0] for by_policy in groups.values()]
    return np.array([record.num_queries / record.num_stages for record in first])


def _guidance(groups: Groups, part: str, max_deployed: int) -> str:
    """Say how often is often enough, and what waiting longer costs."""
    policies = _policies(groups)
    who = OURS if OURS in policies else policies[0]
    values, lost = list(groups), _means(groups, who, loss)
    waited, intervals = _means(groups, who, waiting), _interval(groups)
    enough = int(np.flatnonzero(lost <= lost.min() + ENOUGH)[0])
    best = int(np.argmin(lost))
    text = (
        f"{part}: redeploying every {intervals[enough]:,.0f} queries (K = {values[enough]:g}) is "
        f"often enough for {who}, which then loses {lost[enough]:.2%} in all, against "
        f"{lost[best]:.2%} at the best K tried ({values[best]:g}) and {lost[0]:.2%} at "
        f"K = {values[0]:g}; of that, waiting for boundaries is {waited[enough]:.2%}, "
        f"{waited[best]:.2%} and {waited[0]:.2%}"
    )
    num_models = len(next(iter(groups.values()))[who][0].models)
    if num_models:
        slots = values[enough] * max_deployed / num_models
        text += f"; in so many stages there are {slots:.0f} slots for each candidate to be tried in"
    samples = [waiting(by_policy[who]) for by_policy in groups.values()]
    fit = fit_power_law(intervals.tolist(), samples) if len(samples) > 1 else None
    if fit is None:
        return text + "."
    return (
        f"{text}. Waiting grows as the interval to the power of {fit.exponent.text()}, and "
        f"learning goes from {lost[0] - waited[0]:.2%} to {lost[-1] - waited[-1]:.2%} over these K."
    )


def _range_finding(groups: Groups, name: str) -> str:
    """Say between what a policy's loss lies over a sweep."""
    texts = []
    for who in _policies(groups):
        values, lost = list(groups), _means(groups, who, loss)
        low, high = int(np.argmin(lost)), int(np.argmax(lost))
        texts.append(
            f"{who} loses from {lost[low]:.2%} (at {values[low]:g}) to {lost[high]:.2%} "
            f"(at {values[high]:g})"
        )
    return f"Over {name}, {'; '.join(texts)}."


def _interval_figure(groups: Groups, part: str) -> Figure:
    """Loss over the interval: in all for every policy, its parts for ours."""
    groups = dict(reversed(groups.items()))  # short intervals first
    x = _interval(groups)
    curves = []
    for who in _policies(groups):
        curves.append(_curve(groups, who, who, x, loss, in_focus=who == OURS))
        if who == OURS:
            curves.append(_curve(groups, who, "waiting", x, waiting))
            curves.append(_curve(groups, who, "learning", x, _learning))
    return LineFigure(
        f"Loss over the update interval, b = {part.rpartition('= ')[2]}",
        "queries between two boundaries", "loss, %", tuple(curves), log_x=True, log_y=True,
        note=f"Learning and waiting are the parts of what {OURS} loses. Long intervals lose twice: "
        "arrivals wait for a boundary, and models can be exchanged, hence tried, less often. "
        "Choose an interval where the line of the whole loss is still level.",
        part=part,
    )  # fmt: skip


def _learning(records: Sequence[Record]) -> Floats:
    return loss(records) - waiting(records)


def _figure(groups: Groups, name: str) -> Figure:
    x = np.array(list(groups))
    curves = tuple(_curve(groups, who, who, x, loss) for who in _policies(groups))
    return LineFigure(
        f"Loss over {name}", name, "loss, %", curves,
        log_x=bool(x[-1] / x[0] > 8), log_y=True,
        note="Lower is better; bands cover the means over the seeds with 95 %.", part=name,
    )  # fmt: skip


def _curve(
    groups: Groups,
    who: str,
    label: str,
    x: Floats,
    figure: Callable[[Sequence[Record]], Floats],
    *,
    in_focus: bool = True,
) -> Curve:
    parts = [bands(100 * figure(by_policy[who])[:, None]) for by_policy in groups.values()]
    mean, low, high = (np.ravel(part) for part in zip(*parts, strict=True))
    return Curve(label, x, mean, low, high, in_focus=in_focus)


def _agreement_table(default: dict[str, list[Record]]) -> Table | None:
    """Compare every policy's stages with the oracle's; None where models are not listed."""
    oracles = default["oracle"]
    if not oracles[0].models:
        return None
    rows = []
    for who, records in default.items():
        if who == "oracle":
            continue
        pairs = [agreement(*pair) for pair in zip(records, oracles, strict=True)]
        third = max(1, pairs[0].live.size // 3)
        rows.append(
            (
                who,
                *(
                    f"{np.mean([getattr(pair, field)[part] for pair in pairs]):.1%}"
                    for field in ("live", "needed", "served")
                    for part in (slice(None), slice(third), slice(-third, None))
                ),
            )
        )
    note = (
        "Live: candidates × stages in which a model is live for both or for neither; slots that "
        "the oracle's mixture does not need are filled by both as they like. Needed: stages in "
        "which every model that the oracle uses is live. Served: queries that the same models "
        "serve. Over the whole stream, its first and its last third."
    )
    columns = ("policy", *("all", "first", "last") * 3)
    heads = (("", 1), ("live", 3), ("needed", 3), ("served", 3))
    title = "Agreement with the oracle"
    return Table(title, columns, tuple(rows), note, heads=heads, part="Selection")


def _agreement_finding(default: dict[str, list[Record]]) -> str:
    texts = []
    for who, records in default.items():
        if who == "oracle":
            continue
        pairs = [agreement(*pair) for pair in zip(records, default["oracle"], strict=True)]
        live, needed = (
            np.mean([getattr(pair, field) for pair in pairs]) for field in ("live", "needed")
        )
        texts.append(f"{who} {needed:.0%} ({live:.0%} of the candidates)")
    return (
        "Share of the stages in which every model that the oracle uses is live (and of the "
        f"candidates × stages that are live for both or neither): {'; '.join(texts)}."
    )


def _heat_maps(default: dict[str, list[Record]]) -> list[Figure]:
    """Share of every model in every stage, the oracle's first."""
    shown = {who: mean_shares(default[who]) for who in ("oracle", OURS) if who in default}
    top = max(float(np.nanmax(rows)) for rows in shown.values())
    return [
        HeatMap(
            f"Who serves: {who}",
            "stage",
            tuple(str(stage + 1) for stage in range(rows.shape[1])),
            tuple(default[who][0].models),
            tuple(rows),
            "Models from top to bottom in order of arrival; grey: not there yet. The same rows "
            "as dark as the oracle's mean that the right models were found.",
            top=top,
            part="Selection",
        )
        for who, rows in shown.items()
    ]
