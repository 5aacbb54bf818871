"""Curves with their bands, each labelled where it ends."""

from typing import TYPE_CHECKING, Final

import numpy as np

from stageroute.lab.page.axes import LABEL_HEIGHT, dress, height_for, reserve, set_scale
from stageroute.lab.page.labels import spread
from stageroute.lab.page.palette import FAINT, INK, MUTED, Style
from stageroute.lab.page.wording import shorten, shorten_lines, shown
from stageroute.lab.summary import Curve, LineFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

__all__ = ["draw_lines", "line_figure_height"]

KEY_LINE: Final = 15.0
"""Height of a reference's line in the key below the axes."""

MOST_WRAPPED: Final = 9
"""Curves whose names may take several lines."""

GUTTER: Final = 0.05
"""Between the axes and the labels, as a share of the axes' width."""

BACKGROUND: Final = Style(FAINT, (), 0.9)
REFERENCE: Final = Style(INK, (1.0, 2.0), 1.2)


def line_figure_height(figure: LineFigure) -> float:
    """Return the height at which all labels, and the key, have room."""
    curves = _labelled(figure)
    lines = len(curves) * max(map(_num_lines, _names(curves)), default=1)
    return height_for(lines) + KEY_LINE * len(_references(figure))


def draw_lines(canvas: "Canvas", figure: LineFigure, styles: dict[str, Style]) -> None:
    """Draw the curves, those in focus on top."""
    strip = KEY_LINE * len(_references(figure)) / line_figure_height(figure)
    reserve(canvas, strip)
    axes = canvas.subplots()
    dress(axes, figure.x_label, figure.y_label)
    _scale(axes, figure)
    if figure.level is not None:
        axes.axhline(figure.level, color=MUTED, linewidth=1.0, zorder=1.5)
    for number, curve in enumerate(figure.curves):
        _draw_curve(axes, curve, _style(curve, styles), above=-0.01 * number)
    if figure.y_range is not None:
        axes.set_ylim(*figure.y_range)
    _label_ends(canvas, axes, figure, styles)
    _explain_references(canvas, figure)


def _style(curve: Curve, styles: dict[str, Style]) -> Style:
    if curve.is_reference:
        return REFERENCE
    return styles[curve.label] if curve.in_focus else BACKGROUND


def _scale(axes: "Axes", figure: LineFigure) -> None:
    xs = np.concatenate([np.asarray(curve.x, dtype=np.float64) for curve in figure.curves])
    ys = np.concatenate([np.asarray(curve.y, dtype=np.float64) for curve in figure.curves])
    ys = ys[np.isfinite(ys)]
    set_scale(axes, "x", float(xs.min()), float(xs.max()), is_log=figure.log_x)
    set_scale(axes, "y", float(ys.min()), float(ys.max()), is_log=figure.log_y)
    if xs.min() < xs.max():
        axes.set_xlim(xs.min(), xs.max())


def _draw_curve(axes: "Axes", curve: Curve, style: Style, above: float) -> None:
    is_grey = style is BACKGROUND
    line, *_ = axes.plot(
        curve.x, curve.y, color=style.colour, linewidth=style.width,
        zorder=(2.0 if is_grey else 3.0) + above, solid_capstyle="round",
    )  # fmt: skip
    if style.dashes:
        line.set_dashes(style.dashes)
    if len(curve.x) == 1:
        line.set(marker=style.marker, markersize=4.0)
    if curve.low is not None and curve.high is not None and not is_grey:
        axes.fill_between(
            curve.x, curve.low, curve.high,
            color=style.colour, alpha=0.16, linewidth=0, zorder=2.5 + above,
        )  # fmt: skip


def _label_ends(
    canvas: "Canvas", axes: "Axes", figure: LineFigure, styles: dict[str, Style]
) -> None:
    """Write every curve's name beside its end, moved apart where ends are close."""
    low, high = axes.get_ylim()
    curves = _labelled(figure)
    names = _names(curves)
    texts = [
        axes.text(
            1.0 + GUTTER, 0.5, name + _value_outside(curve, low, high), transform=axes.transAxes,
            va="center_baseline" if _num_lines(name) == 1 else "center", linespacing=1.0,
            color=styles[curve.label].colour if curve.in_focus else MUTED,
        )
        for curve, name in zip(curves, names, strict=True)
    ]  # fmt: skip
    canvas.draw_without_rendering()  # lays out, so that the axes' height is known
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [np.clip(to_axes.transform(_end(curve)), 0.0, 1.0) for curve in curves]
    gap = LABEL_HEIGHT * max(map(_num_lines, names), default=1) / axes.get_window_extent().height
    heights = spread([float(end[1]) for end in ends], gap, 0.0, 1.0)
    for (x, y), height, text in zip(ends, heights, texts, strict=True):
        text.set_y(height)
        axes.plot(
            [x, 1.0, 1.0 + 0.8 * GUTTER], [y, y, height],
            transform=axes.transAxes, color=FAINT, linewidth=0.6, clip_on=False, zorder=1.0,
        )  # fmt: skip


def _values(curve: Curve) -> "NDArray[np.float64]":
    return np.asarray(curve.y, dtype=np.float64)


def _end(curve: Curve) -> tuple[float, float]:
    """Return the last point that there is."""
    values = _values(curve)
    last = int(np.flatnonzero(np.isfinite(values))[-1])
    return float(curve.x[last]), float(values[last])


def _labelled(figure: LineFigure) -> list[Curve]:
    return [c for c in figure.curves if not c.is_reference and np.isfinite(_values(c)).any()]


def _names(curves: list[Curve]) -> list[str]:
    """Return what stands beside the curves: long names on several lines where there are few."""
    if len(curves) > MOST_WRAPPED:
        return [shorten(_name(curve)) for curve in curves]
    return [shorten_lines(_name(curve)) for curve in curves]


def _name(curve: Curve) -> str:
    return f"{curve.label}: {curve.detail}" if curve.detail else curve.label


def _num_lines(name: str) -> int:
    return name.count("\n") + 1


def _value_outside(curve: Curve, low: float, high: float) -> str:
    """Return the value at a curve's end where that is not shown."""
    value = _end(curve)[1]
    if low <= value <= high:
        return ""
    return f" {'↑' if value > high else '↓'}{shown(value)}"


def _explain_references(canvas: "Canvas", figure: LineFigure) -> None:
    """Say below the axes what the references are: they need more words than fit beside a line."""
    from matplotlib.lines import Line2D

    for number, curve in enumerate(reversed(_references(figure))):
        y = KEY_LINE * (number + 0.5)
        line = Line2D(
            [4.0, 32.0], [y, y], color=REFERENCE.colour, linewidth=REFERENCE.width, transform=None
        )
        line.set_dashes(REFERENCE.dashes)
        canvas.add_artist(line).set_in_layout(False)
        canvas.text(38.0, y, curve.label, transform=None, va="center_baseline").set_in_layout(False)


def _references(figure: LineFigure) -> list[Curve]:
    return [curve for curve in figure.curves if curve.is_reference]
