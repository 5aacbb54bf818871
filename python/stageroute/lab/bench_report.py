"""What a person sees of a comparison: a table and a picture."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from stageroute.errors import MissingExtraError
from stageroute.lab.bench import BenchResult, Episode

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["align", "format_result", "save_plot"]

Column = tuple[str, Callable[[list[Episode]], str]]


def _infeasible(runs: list[Episode]) -> str:
    """Mean share of decisions for which no mixture was within budget and caps; - without an LP."""
    shares = [
        (run.lp_counts["budget_infeasible"] + run.lp_counts["cap_infeasible"])
        / sum(run.lp_counts.values())
        for run in runs
        if run.lp_counts
    ]
    return f"{100 * np.mean(shares):.2f}" if shares else "-"


COLUMNS: Final[tuple[Column, ...]] = (
    ("regret %", lambda runs: f"{100 * np.median([run.regret for run in runs]):.2f}"),
    ("p10", lambda runs: f"{100 * np.quantile([run.regret for run in runs], 0.1):.2f}"),
    ("p90", lambda runs: f"{100 * np.quantile([run.regret for run in runs], 0.9):.2f}"),
    ("worst", lambda runs: f"{100 * max(run.regret for run in runs):.2f}"),
    ("reward", lambda runs: f"{np.mean([run.reward for run in runs]):.4f}"),
    ("spend/b", lambda runs: f"{np.mean([run.spend for run in runs]):.4f}"),
    ("worst", lambda runs: f"{max(run.spend for run in runs):.4f}"),
    ("running", lambda runs: f"{np.median([run.worst_running_spend for run in runs]):.3f}"),
    ("worst", lambda runs: f"{max(run.worst_running_spend for run in runs):.3f}"),
    ("infeasible %", _infeasible),
    ("ns/query", lambda runs: f"{np.median([run.nanoseconds_per_query for run in runs]):.0f}"),
    ("deploy ms", lambda runs: f"{np.median([run.milliseconds_deploying for run in runs]):.1f}"),
)

LEGEND: Final = """\
regret %   cumulative regret against the stage oracle as a share of its reward: median over seeds,
           with 10th and 90th percentile and worst seed (below 0: more reward than the oracle,
           by luck or by overspending)
spend/b    spend at the end as a multiple of the budget: mean over seeds, and worst seed
running    largest spend/b at any time after query 1,000: median over seeds, and worst seed
infeasible share of decisions for which no live mixture met budget and caps; the cheapest served
ns/query   routing and learning in the native replay, median over seeds
deploy ms  all stage boundaries of one run, median over seeds"""


def format_result(result: BenchResult) -> str:
    """Return a comparison as text: the settings, then figures and shares for each budget."""
    parts = [_format_settings(result)]
    for limits in result.settings.limits:
        parts += [_format_figures(result, limits.budget), _format_shares(result, limits.budget)]
    return "\n\n".join([*parts, LEGEND])


def _format_settings(result: BenchResult) -> str:
    settings, limits = result.settings, result.settings.limits[0]
    confidence = limits.confidence
    initial = settings.num_initial or len(result.models)
    pacing = "off" if limits.pacing_horizon is None else f"{limits.pacing_horizon:g} queries"
    order = settings.arrival_order
    return "\n".join(
        [
            f"{result.table}: {len(result.models)} models, {initial} at the start, the others "
            f"evenly ({order if isinstance(order, str) else 'given'} order)",
            f"T = {settings.num_queries:,} queries ({settings.order}), K = {settings.num_stages} "
            f"stages, {len(settings.seeds)} seeds from {settings.seeds[0]}",
            f"M_max = {limits.max_deployed}, throughput cap = {limits.throughput_cap}, "
            f"confidence = {confidence.family} (gamma {confidence.gamma:g}, "
            f"growth {confidence.growth:g}, "
            f"{confidence.min_visits} forced visits), pacing = {pacing}, "
            f"prices {'known' if limits.use_prices else 'unknown'}; solver {limits.solver}; "
            f"stageroute {result.version}",
        ]
    )


def _format_figures(result: BenchResult, budget: float) -> str:
    rows = [[f"b = {budget:g}", *(name for name, _ in COLUMNS)]]
    for policy in result.settings.policies:
        runs = result.of(policy, budget)
        if runs:
            rows.append([policy, *(show(runs) for _, show in COLUMNS)])
    return align(rows)


def _format_shares(result: BenchResult, budget: float) -> str:
    """Format the mean share of traffic of each model, in percent."""
    policies = [policy for policy in result.settings.policies if result.of(policy, budget)]
    rows = [["share of traffic, %", *policies]]
    for model in result.models:
        shares = [np.mean([run.shares[model] for run in result.of(p, budget)]) for p in policies]
        rows.append([model, *(f"{100 * share:.1f}" for share in shares)])
    return align(rows)


def align(rows: Sequence[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others to the right, a rule below the first row."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


COLOURS: Final = {
    "stageroute": "#0b6e4f",
    "greedy": "#c8553d",
    "uniform": "#6c757d",
    "oracle": "#1d3557",
}


def save_plot(result: BenchResult, path: Path) -> None:
    """Draw cumulative regret and running spend, one row for each budget, with bands over seeds.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "a picture needs matplotlib: pip install 'stageroute[plot]'"
        ) from error
    limits = result.settings.limits
    figure = Figure(figsize=(10, 3.4 * len(limits)), layout="constrained")
    axes = figure.subplots(len(limits), 2, squeeze=False)
    for (regret, spend), limit in zip(axes, limits, strict=True):
        for policy in result.settings.policies:
            runs = result.of(policy, limit.budget)
            if not runs:
                continue
            colour = COLOURS.get(policy)
            if policy != "oracle":
                _draw_band(regret, runs, [run.cumulative_regret for run in runs], policy, colour)
            _draw_band(spend, runs, [run.running_spend for run in runs], policy, colour)
        title = f"b = {limit.budget:g} USD per query"
        _dress(regret, title, "cumulative regret (reward; log scale)")
        _dress(spend, title, "spend so far / budget so far")
        # Policies differ by orders of magnitude; linear near 0, where regret may be negative.
        regret.set_yscale("symlog", linthresh=10.0)
        spend.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
        spend.set_ylim(0.0, min(2.5, max(spend.get_ylim()[1], 1.2)))
    handles, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    seeds = len(result.settings.seeds)
    figure.suptitle(f"{result.table}: median and 10-90 % band over {seeds} seeds")
    figure.savefig(path, dpi=100)


def _draw_band(
    axes: "Axes", runs: list[Episode], curves: list[list[float]], name: str, colour: str | None
) -> None:
    low, middle, high = np.quantile(curves, [0.1, 0.5, 0.9], axis=0)
    queries = runs[0].curve_queries
    axes.plot(queries, middle, label=name, color=colour, linewidth=1.6)
    axes.fill_between(queries, low, high, color=colour, alpha=0.18, linewidth=0)


def _dress(axes: "Axes", title: str, label: str) -> None:
    axes.set(title=title, xlabel="queries", ylabel=label)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
