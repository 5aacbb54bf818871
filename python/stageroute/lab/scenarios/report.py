"""What a person sees of scenarios: tables of regret, spend and counters, by budget."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from stageroute.lab.bench_report import align
from stageroute.lab.scenarios.runs import ScenarioResult, ScenarioRun
from stageroute.lab.scenarios.scenarios import SCENARIOS, SERVICES

__all__ = ["format_scenarios"]

Runs = Sequence[ScenarioRun]
Column = tuple[str, Callable[[Runs], str]]

NONE: Final = "-"


def _percent(runs: Runs, figure: str, summary: Callable[[list[float]], float]) -> str:
    return f"{100 * summary([getattr(run, figure) for run in runs]):.2f}"


def _multiple(runs: Runs, figure: str, summary: Callable[[list[float]], float], digits: int) -> str:
    return f"{summary([getattr(run, figure) for run in runs]):.{digits}f}"


def _median(values: list[float]) -> float:
    return float(np.median(values))


def _mean(values: list[float]) -> float:
    return float(np.mean(values))


def _p90(values: list[float]) -> float:
    return float(np.quantile(values, 0.9))


def _goal(runs: Runs) -> str:
    """Whether the spend of every seed keeps to its goal."""
    goal = SCENARIOS[runs[0].scenario].spend_goal
    if goal is None:
        return NONE
    return f"{goal:g} {'met' if max(run.spend for run in runs) <= goal else 'MISSED'}"


def _share(*statuses: str) -> Callable[[Runs], str]:
    """Share of decisions of these statuses, over all seeds, in percent."""

    def show(runs: Runs) -> str:
        if not runs[0].decisions:
            return NONE
        chosen = sum(run.decisions[status] for run in runs for status in statuses)
        return f"{100 * chosen / sum(sum(run.decisions.values()) for run in runs):.2f}"

    return show


def _count(*counters: str) -> Callable[[Runs], str]:
    """Counters of feedback, mean over seeds."""

    def show(runs: Runs) -> str:
        if not runs[0].feedback:
            return NONE
        return f"{np.mean([sum(run.feedback[name] for name in counters) for run in runs]):,.0f}"

    return show


REGRET: Final[tuple[Column, ...]] = (
    ("regret %", lambda runs: _percent(runs, "regret", _median)),
    ("p90", lambda runs: _percent(runs, "regret", _p90)),
    ("worst", lambda runs: _percent(runs, "regret", max)),
)
SPEND: Final[tuple[Column, ...]] = (
    ("spend/b", lambda runs: _multiple(runs, "spend", _mean, 4)),
    ("worst", lambda runs: _multiple(runs, "spend", max, 4)),
    ("goal", _goal),
    ("running", lambda runs: _multiple(runs, "worst_running_spend", _median, 3)),
    ("worst", lambda runs: _multiple(runs, "worst_running_spend", max, 3)),
)
AFTER: Final[tuple[Column, ...]] = (
    ("after: regret %", lambda runs: _percent(runs, "regret_after", _median)),
    ("p90", lambda runs: _percent(runs, "regret_after", _p90)),
    ("worst", lambda runs: _percent(runs, "regret_after", max)),
    ("spend/b", lambda runs: _multiple(runs, "spend_after", _mean, 4)),
    ("worst", lambda runs: _multiple(runs, "spend_after", max, 4)),
)
DECISIONS: Final[tuple[Column, ...]] = (
    ("optimal %", _share("optimal")),
    ("throttled", _share("throttled")),
    ("infeasible", _share("budget_infeasible", "cap_infeasible")),
)
FEEDBACK: Final[tuple[Column, ...]] = (
    ("rewards", _count("rewards")),
    ("costs", _count("costs")),
    ("repeated", _count("repeated")),
    ("lost", _count("unknown", "expired", "evicted")),
)

LEGEND: Final = """\
regret %   expected reward lost against the stage oracle, as a share of its reward: median over
           seeds, 90th percentile, worst seed; below 0: more than the oracle, whose budget does not
           carry over and whose traffic and live set are limited
spend/b    spend at the end as a multiple of the budget: mean over seeds, and worst seed; the goal
           is for the worst seed
running    largest spend/b at any time after query 1,000: median over seeds, and worst seed
after      the same from the change in the middle of the stream on
optimal %  share of decisions from an optimal LP; throttled: served by the cheapest mixture until
           earlier overspend was made good; infeasible: no live mixture met budget and caps
rewards, costs, repeated, lost
           feedback counted, refused because it had come before, and unknown, expired or evicted;
           mean over seeds"""


def format_scenarios(result: ScenarioResult) -> str:
    """Return all figures as text: settings, two tables for each budget, remarks, a legend."""
    steady = [name for name in result.settings.scenarios if SCENARIOS[name].change is None]
    changing = [name for name in result.settings.scenarios if name not in steady]
    parts = [_format_settings(result)]
    for limits in result.settings.limits:
        for names, columns in (
            (steady, (*REGRET, *SPEND, *DECISIONS, *FEEDBACK)),
            (changing, (*REGRET, *SPEND, *AFTER)),
        ):
            rows = _rows(result, names, limits.budget, columns)
            if rows:
                head = [f"b = {limits.budget:g}", *(title for title, _ in columns)]
                parts.append(align([head, *rows]))
    return "\n\n".join([*parts, *_remarks(result), LEGEND])


def _rows(
    result: ScenarioResult, names: list[str], budget: float, columns: tuple[Column, ...]
) -> list[list[str]]:
    rows, has_figures = [], False
    for name in names:
        for service in result.settings.services:
            title = SCENARIOS[name].title if service == "stageroute" else f"  {service}"
            runs = result.of(name, service, budget)
            if runs:
                rows.append([title, *(show(runs) for _, show in columns)])
                has_figures = True
            elif name in SERVICES[service].cannot:
                rows.append([title, "cannot", *[NONE] * (len(columns) - 1)])
    return rows if has_figures else []


def _remarks(result: ScenarioResult) -> list[str]:
    """Say what a rival cannot do, and what else its figures need."""
    lines = [
        f"{service}, {SCENARIOS[name].title}: {remarks[name]}"
        for service in result.settings.services
        for name in result.settings.scenarios
        for remarks in (SERVICES[service].cannot, SERVICES[service].remarks)
        if name in remarks
    ]
    return ["\n".join(lines)] if lines else []


def _format_settings(result: ScenarioResult) -> str:
    settings, limits = result.settings, result.settings.limits[0]
    pacing = "off" if limits.pacing_horizon is None else f"{limits.pacing_horizon:g} queries"
    changes = sorted(
        {
            f"{SCENARIOS[run.scenario].title.split(',')[0]} of {run.victim}"
            for run in result.runs
            if run.victim is not None
        }
    )
    lines = [
        f"{result.table}: {len(result.models)} models, {settings.num_initial} at the start, the "
        "others evenly",
        f"T = {settings.num_queries:,} queries, K = {settings.num_stages} stages, "
        f"{len(settings.seeds)} seeds from {settings.seeds[0]}",
        f"M_max = {limits.max_deployed}, throughput cap = {limits.throughput_cap}, "
        f"pacing = {pacing}, prices "
        f"{'known' if limits.use_prices else 'unknown'}; stageroute {result.version}",
    ]
    return "\n".join([*lines, *(["; ".join(changes)] if changes else [])])
