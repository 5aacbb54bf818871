"""What the three checks say."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from stageroute.lab.columns import column, priced_regret
from stageroute.lab.episodes import Record
from stageroute.lab.intervals import Floats, bands, mean_interval
from stageroute.lab.results import StudyResults
from stageroute.lab.summary import Curve, Figure, LineFigure, Summary, Table

__all__ = ["CAPS", "CHANCE", "SPEND", "START", "UNCHANGED", "summarise"]

SPEND, START, CAPS = ("check", "spend"), ("check", "start"), ("check", "caps")
"""Parts of an episode's cell."""

CHANCE: Final = "oracle"
"""Keeps to budget and caps in expectation: where it exceeds them, chance does."""

UNCHANGED: Final = "as it is"

AT_CAP: Final = 0.95
"""A model whose share of a stage is this part of its cap counts as being at its cap."""

QUANTILES: Final = np.linspace(0.0, 1.0, 101)


def summarise(results: StudyResults, question: str) -> Summary:
    """Answer the three questions."""
    findings: list[str] = []
    tables: list[Table] = []
    figures: list[Figure] = []
    for budget in results.settings["budgets"]:
        policies = _by(results.of(check="spend", budget=budget), "policy")
        part = f"Spend per stage, b = {budget:g}"
        findings.append(_spend_finding(policies, budget))
        tables.append(_spend_table(policies, part))
        figures += _spend_figures(policies, part)
    for budget in results.settings["budgets"]:
        for who in results.settings["policies"]:
            starts = _by(results.of(check="start", budget=budget, who=who), "start")
            part = f"Start, b = {budget:g}"
            findings.append(_start_finding(starts, f"{part}, {who}"))
            tables.append(_start_table(starts, f"{part}, {who}", part))
    caps = {
        label: _by(records, "policy")
        for label, records in _by(results.of(check="caps"), "caps").items()
    }
    return Summary(
        title="Checks",
        question=question,
        findings=(*findings, *_caps_findings(caps)),
        tables=(*tables, _caps_table(caps)),
        figures=(*figures, _caps_figure(caps)),
    )


def _by(records: Sequence[Record], name: str) -> dict[str, list[Record]]:
    """Group records by a field, or by what the study varies."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        cell = record.cell_values
        groups.setdefault(cell.get(name, getattr(record, name, "")), []).append(record)
    return groups


def _violations(records: Sequence[Record]) -> Floats:
    """Return spend / b - 1, at least 0, of every stage of every record."""
    return np.concatenate([record.stage_violation for record in records])


def _spend_finding(policies: dict[str, list[Record]], budget: float) -> str:
    texts = []
    for policy, records in policies.items():
        values = _violations(records)
        spend = column(records, "spend").mean()
        luck = " (which keeps to b in expectation: this is chance)" * (policy == CHANCE)
        texts.append(
            f"{policy}{luck} exceeds b by more than 5 % in {np.mean(values > 0.05):.0%} of the "
            f"stages and by {values.max():.0%} at most (mean spend {spend:.3f} b)"
        )
    stages = _violations(next(iter(policies.values()))).size
    return f"b = {budget:g}, {stages:,} stages each: {'; '.join(texts)}."


def _spend_table(policies: dict[str, list[Record]], part: str) -> Table:
    rows = []
    for policy, records in policies.items():
        values = _violations(records)
        spend, first = column(records, "spend"), [record.stage_violation[0] for record in records]
        rows.append(
            (
                policy,
                f"{np.mean(values > 0):.0%}",
                f"{np.mean(values > 0.05):.0%}",
                *(f"{np.quantile(values, q):.1%}" for q in (0.5, 0.9, 0.99, 1.0)),
                f"{np.mean(first):.1%}",
                f"{column(records, 'worst_running_spend').max():.3f}",
                mean_interval(spend).text(3),
                f"{spend.max():.3f}",
            )
        )
    note = (
        "Violation: a stage's mean spend / b - 1, at least 0, over all stages and seeds. A stage "
        "may spend what earlier ones saved, so violations are not overspending by themselves; the "
        "spend so far is (running: its largest value from query 1,000 on), and the whole spend."
    )
    columns = (
        "policy", "over b", "by > 5 %", "median", "p90", "p99", "largest", "first stage",
        "running, worst", "mean", "worst",
    )  # fmt: skip
    heads = (("", 1), ("stages", 2), ("violation", 5), ("spend / b", 3))
    return Table(part, columns, tuple(rows), note, heads=heads, part=part)


def _spend_figures(policies: dict[str, list[Record]], part: str) -> list[Figure]:
    by_stage, spread = [], []
    for policy, records in policies.items():
        violations = 100 * np.array([record.stage_violation for record in records])
        stages = np.arange(1, violations.shape[1] + 1)
        by_stage.append(Curve(policy, stages, *bands(violations)))
        largest = np.quantile(violations, QUANTILES)
        spread.append(Curve(policy, 100 * QUANTILES, largest))
    return [
        LineFigure(
            f"{part}: mean violation", "stage", "violation of b, %", tuple(by_stage), part=part,
            note="Mean over the seeds; stages that spend less than b count as 0.",
        ),
        LineFigure(
            f"{part}: how large", "% of the stages", "violation of b, %", tuple(spread), part=part,
            log_y=True,
            note="So many stages violate b by no more than that; logarithmic but about 0. What the "
            "oracle shows is chance.",
        ),
    ]  # fmt: skip


def _start_finding(starts: dict[str, list[Record]], title: str) -> str:
    regret = {label: float(priced_regret(records).mean()) for label, records in starts.items()}
    early = {label: column(records, "early_spend").mean() for label, records in starts.items()}
    best, worst = min(regret, key=lambda x: regret[x]), max(regret, key=lambda x: regret[x])
    least, most = min(early, key=lambda x: early[x]), max(early, key=lambda x: early[x])
    return (
        f"{title}: mean regret is {regret[UNCHANGED]:.2%} as it is, and from {regret[best]:.2%} "
        f"({best}) to {regret[worst]:.2%} ({worst}) with other starts; the spend over the first "
        f"1,000 queries is {early[UNCHANGED]:.2f} b, and from {early[least]:.2f} b ({least}) to "
        f"{early[most]:.2f} b ({most})."
    )


def _start_table(starts: dict[str, list[Record]], title: str, part: str) -> Table:
    rows = []
    for label, records in starts.items():
        regret, early = 100 * priced_regret(records), column(records, "early_spend")
        rows.append(
            (
                label,
                mean_interval(regret).text(),
                f"{np.median(regret):.2f}",
                f"{regret.max():.2f}",
                mean_interval(early).text(),
                f"{early.max():.2f}",
                f"{column(records, 'spend').mean():.3f}",
            )
        )
    note = (
        "Regret in % against the stage oracle, with what was spent beyond b T charged at the "
        "oracle's price. Early: spend over the first 1,000 queries."
    )
    columns = ("start", "mean", "median", "worst", "mean", "worst", "whole")
    heads = (("", 1), ("regret %", 3), ("early spend / b", 2), ("spend / b", 1))
    return Table(title, columns, tuple(rows), note, heads=heads, part=part)


Caps = dict[str, dict[str, list[Record]]]
"""Records by caps and policy."""


def _at_cap(records: Sequence[Record]) -> float:
    """Return the share of the queries that are served by models at their caps."""
    parts = []
    for record in records:
        shares = np.reshape(record.stage_shares, (len(record.stage_starts), -1))
        is_full = shares >= AT_CAP * np.asarray(record.caps)
        lengths = np.diff([*record.stage_starts, record.num_queries])
        parts.append(lengths @ (shares * is_full).sum(axis=1) / record.num_queries)
    return float(np.mean(parts))


def _oracle_reward(policies: dict[str, list[Record]]) -> float:
    return float(column(next(iter(policies.values())), "oracle_reward").mean())


def _caps_table(caps: Caps) -> Table:
    rows = []
    for label, policies in caps.items():
        for policy, records in policies.items():
            excess = column(records, "largest_cap_excess")
            rows.append(
                (
                    label,
                    policy,
                    f"{_oracle_reward(policies):.4f}",
                    mean_interval(100 * priced_regret(records)).text(),
                    f"{_at_cap(records):.0%}" if records[0].models else "-",
                    f"{column(records, 'largest_probability_excess').max():+.1e}",
                    f"{excess.mean():+.3f}",
                    f"{excess.max():+.3f}",
                )
            )
    note = (
        "At caps: queries served by models whose share of the stage is at least "
        f"{AT_CAP:.0%} of their cap. Probability: the largest with which a model was drawn, less "
        "its cap. Share: the largest share over 1,000 queries less the cap, over all models and "
        "windows; the oracle's is what chance does."
    )
    columns = ("α", "policy", "oracle", "regret %", "at caps", "probability", "mean", "worst")
    heads = (("", 5), ("largest excess", 1), ("share's excess", 2))
    return Table("Throughput caps", columns, tuple(rows), note, heads=heads, part="Throughput caps")


def _caps_findings(caps: Caps) -> list[str]:
    free = max(caps, key=lambda label: _oracle_reward(caps[label]))
    tight = min(caps, key=lambda label: _oracle_reward(caps[label]))
    cost = 1.0 - _oracle_reward(caps[tight]) / _oracle_reward(caps[free])
    texts = [
        f"Of the caps tried, α = {tight} costs the oracle most: {cost:.1%} of what it earns at "
        f"α = {free}."
    ]
    chance = _worst_excess(caps, CHANCE)
    for policy in next(iter(caps.values())):
        if policy == CHANCE:
            continue
        records = [record for policies in caps.values() for record in policies[policy]]
        probability = column(records, "largest_probability_excess").max()
        kept = (
            "never draws a model with a probability above its cap"
            if probability <= 1e-9
            else f"draws models with a probability up to {probability:.3f} above their caps"
        )
        regret = {label: float(priced_regret(of[policy]).mean()) for label, of in caps.items()}
        low, high = min(regret, key=lambda x: regret[x]), max(regret, key=lambda x: regret[x])
        texts.append(
            f"Throughput caps: {policy} {kept}; over 1,000 queries a share exceeds its cap by "
            f"{_worst_excess(caps, policy):.3f} at most ({chance:.3f} by chance alone). Its mean "
            f"regret is from {regret[low]:.2%} (α = {low}) to {regret[high]:.2%} (α = {high})."
        )
    return texts


def _worst_excess(caps: Caps, policy: str) -> float:
    return max(
        float(column(policies[policy], "largest_cap_excess").max()) for policies in caps.values()
    )


def _caps_figure(caps: Caps) -> Figure:
    equal = [label for label in caps if " " not in label]
    x = [float(label) for label in equal]
    curves = []
    for policy in next(iter(caps.values())):
        rewards = [bands(column(caps[label][policy], "reward")[:, None]) for label in equal]
        mean, low, high = (np.ravel(part) for part in zip(*rewards, strict=True))
        curves.append(Curve(policy, x, mean, low, high))
    return LineFigure(
        "Reward over throughput caps", "α, the same for all models", "mean reward", tuple(curves),
        note="What the oracle loses towards the left is the price of the caps; the distance to it "
        "is regret. Overspending is not charged here.",
        part="Throughput caps",
    )  # fmt: skip
