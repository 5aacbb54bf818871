"""Numbers on axes, and figures in words for those who do not see them."""

import math
import textwrap

import numpy as np

from stageroute.lab.summary import Figure, HeatMap, LineFigure, PointFigure

__all__ = ["describe", "shorten", "shorten_lines", "shown"]

MOST_NAMED = 8
"""How many curves, points or rows a description names."""


def shown(value: float) -> str:
    """Return a number for an axis or a label: plain, with at most three digits that matter."""
    if value == 0.0 or not math.isfinite(value):
        return f"{value:g}".replace("-", "\N{MINUS SIGN}")
    size = abs(value)
    if size >= 1e6:
        text = f"{value / 1e6:.3g} M"
    elif size >= 1e-4:
        digits = max(0, 2 - math.floor(math.log10(size)))
        text = f"{value:,.{digits}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = f"{value:.2g}"
    return text.replace("-", "\N{MINUS SIGN}")


def shorten(label: str, most: int = 18) -> str:
    """Return a label that fits beside a figure."""
    return label if len(label) <= most else label[: most - 1] + "…"


def shorten_lines(label: str, most: int = 20) -> str:
    """Return a label on up to three lines that fit beside a figure."""
    return "\n".join(textwrap.wrap(label, most, max_lines=3, placeholder="…")) or label


def describe(figure: Figure) -> str:
    """Say what a figure shows: its axes, and the values that a reader would look for."""
    if isinstance(figure, LineFigure):
        return _lines(figure)
    if isinstance(figure, PointFigure):
        return _points(figure)
    return _heat_map(figure)


def _lines(figure: LineFigure) -> str:
    ends = []
    for curve in figure.curves:
        values = np.asarray(curve.y, dtype=np.float64)
        values = values[np.isfinite(values)]
        if curve.in_focus and values.size:
            ends.append(f"{curve.label} {shown(float(values[-1]))}")
    axes = f"Lines: {figure.y_label} over {figure.x_label}."
    return f"{axes} At the end: {_list(ends)}." if ends else axes


def _points(figure: PointFigure) -> str:
    order = sorted(figure.points, key=lambda point: -point.y)
    named = [f"{p.label} ({shown(p.x)}, {shown(p.y)})" for p in order if p.in_focus]
    axes = f"Points: {figure.y_label} against {figure.x_label}."
    return f"{axes} From the top: {_list(named)}." if named else axes


def _heat_map(figure: HeatMap) -> str:
    means = {
        row: float(np.nan_to_num(np.asarray(values, dtype=np.float64)).mean())
        for row, values in zip(figure.rows, figure.values, strict=True)
        if len(values)
    }
    order = sorted(means, key=lambda row: -means[row])
    named = [f"{row} {100 * means[row]:.0f} %" for row in order if means[row] >= 0.005]
    axes = f"Heat map: {len(figure.rows)} rows over {len(figure.columns)} of {figure.x_label}."
    return f"{axes} Mean share: {_list(named)}." if named else axes


def _list(parts: list[str]) -> str:
    rest = len(parts) - MOST_NAMED
    return ", ".join(parts[:MOST_NAMED]) + (f", and {rest} more" if rest > 0 else "")
