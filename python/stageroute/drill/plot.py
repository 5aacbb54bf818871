"""The picture of a drill: traffic, money, quality and failures over the same time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import import_extra
from stageroute.drill.fleet import INITIAL, Event
from stageroute.drill.recovery import EventRecovery
from stageroute.drill.results import DrillResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

BINS: Final = 100
SMOOTHED: Final = 5  # bins over which rewards are averaged: single ones are too noisy to read
COLOURS: Final = {  # from cheap to expensive, newcomers last
    "gpt-4.1-nano": "#bfc9ca",
    "deepseek-chat": "#85929e",
    "gemini-2.5-flash": "#a9cce3",
    "gpt-5-mini": "#2e86c1",
    "claude-haiku-4-5": "#f0b27a",
    "claude-sonnet-4-5": "#a04000",
    "grok-4.3": "#58a55c",
    "gemini-2.5-pro": "#8e44ad",
}
FAILURE_COLOURS: Final = {
    "error": "#c0392b",
    "timeout": "#e59866",
    "refusal": "#aab7b8",
    "rate_limit": "#8e44ad",
    "bad_request": "#d7bde2",
}
SHADE: Final = "#c0392b"
MONEY: Final = "#0b6e4f"


def save_plot(
    outcome: DrillResult,
    recoveries: Sequence[EventRecovery],
    path: Path,
    form: str | None = None,
) -> None:
    """Draw a drill: shares of the models, spend, reward and failures, with the events marked.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure = import_extra("matplotlib.figure", "a picture", "plot").Figure(
        figsize=(12, 12.5), layout="constrained"
    )
    heights = {"height_ratios": [3.2, 1.3, 1.3, 1.3, 1.9]}
    *panels, key = figure.subplots(5, 1, gridspec_kw=heights)
    edges = np.linspace(0.0, outcome.trace.span, BINS + 1)
    draws = (_draw_traffic, _draw_money, _draw_quality, _draw_failures)
    for axes, draw in zip(panels, draws, strict=True):
        draw(axes, outcome, edges)
        _mark(axes, outcome.events, on_top=axes is panels[0])
        axes.spines[["top", "right"]].set_visible(False)
        # Areas lie from the bottom up.
        axes.legend(reverse=True, loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False)
        axes.set_xlim(0.0, outcome.trace.span / 60.0)
    panels[-1].set_xlabel("minutes since the first request")
    _write_key(key, outcome.events, recoveries)
    figure.suptitle(
        f"{outcome.trace.name}: {len(outcome.trace):,} requests through StageRoute, "
        f"b = {outcome.settings.budget:g} USD a query",
        fontsize=13,
    )
    figure.align_ylabels(panels)
    figure.savefig(path, format=form, dpi=100)


def _minutes(edges: Floats) -> Floats:
    middles: Floats = (edges[:-1] + edges[1:]) / 120.0
    return middles


def _draw_traffic(axes: "Axes", outcome: DrillResult, edges: Floats) -> None:
    time, model = outcome.record.column("time"), outcome.record.column("model")
    counts = np.array([np.histogram(time[model == name], edges)[0] for name in COLOURS])
    shares = 100.0 * counts / np.maximum(counts.sum(axis=0), 1)
    minutes = _minutes(edges)
    # To the very edges: the first and the last bin are as wide as the others.
    minutes[0], minutes[-1] = edges[0] / 60.0, edges[-1] / 60.0
    names = [f"{name} (new)" if name not in INITIAL else name for name in COLOURS]
    axes.stackplot(minutes, shares, colors=list(COLOURS.values()), labels=names, linewidth=0)
    axes.set(ylabel="share of the traffic, %", ylim=(0.0, 100.0))


def _draw_money(axes: "Axes", outcome: DrillResult, edges: Floats) -> None:
    time, bills = outcome.record.column("time"), outcome.record.column("bill")
    budget = outcome.settings.budget
    ratio = np.cumsum(bills) / (budget * np.arange(1, bills.size + 1))
    axes.plot(time / 60.0, ratio, color=MONEY, linewidth=1.8, label="since the start")
    spend, count = np.histogram(time, edges, weights=bills)[0], np.histogram(time, edges)[0]
    rate = spend / np.maximum(budget * count, 1e-300)
    axes.plot(_minutes(edges), rate, color=MONEY, linewidth=0.8, alpha=0.45, label="at the time")
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set(ylabel="money:\nspend / budget", ylim=(0.0, 1.99))


def _draw_quality(axes: "Axes", outcome: DrillResult, edges: Floats) -> None:
    record = outcome.record
    is_answer = record.column("outcome") == "ok"
    time, quality = record.column("time")[is_answer], record.column("quality")[is_answer]
    total, count = (
        np.convolve(np.histogram(time, edges, weights=weights)[0], np.ones(SMOOTHED), "same")
        for weights in (quality, None)
    )
    smooth = total / np.maximum(count, 1)
    axes.plot(_minutes(edges), smooth, color="#1d3557", linewidth=1.8, label="router")
    starts = np.array([truth.start for truth in record.truths] + [outcome.trace.span]) / 60.0
    best = [truth.reward for truth in record.truths]
    axes.step(starts, [*best, best[-1]], where="post", color="black", linewidth=1.0,
              linestyle="--", label="oracle")  # fmt: skip
    axes.set(ylabel="quality:\nmean reward", ylim=(0.5, 0.85))


def _draw_failures(axes: "Axes", outcome: DrillResult, edges: Floats) -> None:
    record = outcome.record
    time, what = record.column("time"), record.column("outcome")
    minutes, width = _minutes(edges), (edges[1] - edges[0]) / 60.0
    below = np.zeros(BINS)
    for reason, colour in FAILURE_COLOURS.items():
        label = f"{reason.replace('_', ' ')}{' (provider)' if reason == 'rate_limit' else ''}"
        count = np.histogram(time[what == reason], edges)[0]
        axes.bar(minutes, count, width, below, color=colour, label=label)
        below += count
    lost = [time for _, time in record.unanswered] + [refusal.time for refusal in record.refusals]
    height = max(float(below.max()), 1.0)
    label = f"unanswered ({len(lost)})"
    axes.plot(np.array(lost) / 60.0, np.full(len(lost), 1.08 * height), "kx", label=label)
    axes.set(ylabel=f"failed tries\nin {60 * width:.0f} s", ylim=(0.0, 1.2 * height))


def _mark(axes: "Axes", events: tuple[Event, ...], *, on_top: bool) -> None:
    """Draw a line at each event and a band while it lasts; at the top with its number."""
    for number, event in enumerate(events, 1):
        start, end = event.start / 60.0, event.end / 60.0
        if end > start:
            # Over the areas a band would only change their colours.
            low, high, alpha = (1.0, 1.025, 0.6) if on_top else (0.0, 1.0, 0.13)
            axes.axvspan(
                start, end, low, high, color=SHADE, alpha=alpha, clip_on=False, linewidth=0
            )
        axes.axvline(start, color="black", linewidth=1.0)
        if on_top:
            axes.annotate(
                str(number), (start, 1.055), xycoords=("data", "axes fraction"), ha="center",
                va="center", fontsize=10, fontweight="bold", color="white", annotation_clip=False,
                bbox={"boxstyle": "circle,pad=0.25", "facecolor": "black", "linewidth": 0},
            )  # fmt: skip


def _write_key(
    axes: "Axes", events: tuple[Event, ...], recoveries: Sequence[EventRecovery]
) -> None:
    """Say what each number stands for, and how long recovery took."""
    axes.set_axis_off()
    axes.set(xlim=(0.0, 1.0), ylim=(len(events) + 0.5, -0.5))
    lines = [("", "", "what happened", "how long it took to recover")]
    for number, event in enumerate(events, 1):
        name = f"{event.model}: " if event.model else ""
        how = "; ".join(_say(row) for row in recoveries if row.event == event)
        lines.append((f"{number}", f"{event.start / 60.0:.0f} min", f"{name}{event.title}", how))
    for line, texts in enumerate(lines):
        for place, text in zip((0.0, 0.03, 0.09, 0.5), texts, strict=True):
            weight = "bold" if line == 0 or place == 0.0 else "normal"
            axes.text(place, line, text, va="center", fontsize=9.5, fontweight=weight)


def _say(row: EventRecovery) -> str:
    if row.queries is None:
        return f"{row.measure}: not before the next event"
    if row.queries == 0:
        return f"{row.measure}: at once"
    return f"{row.measure}: {row.queries:,} queries, {row.seconds:.0f} s"
