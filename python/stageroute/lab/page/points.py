"""Labelled points with their intervals, and the front that no other point beats."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from stageroute.lab.page.axes import LABEL_HEIGHT, dress, set_scale
from stageroute.lab.page.labels import Box, place
from stageroute.lab.page.palette import FAINT, MUTED, Style
from stageroute.lab.page.wording import shorten
from stageroute.lab.summary import Point, PointFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["draw_points", "front"]

BACKGROUND: Final = Style(FAINT, (), 0.9, "o")


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats on both axes (more y, less x), by x."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


def draw_points(canvas: "Canvas", figure: PointFigure, styles: dict[str, Style]) -> None:
    """Draw the points, those in focus in colour."""
    axes = canvas.subplots()
    dress(axes, figure.x_label, figure.y_label)
    xs, ys = [point.x for point in figure.points], [point.y for point in figure.points]
    set_scale(axes.xaxis, min(xs), max(xs), is_log=figure.log_x)
    set_scale(axes.yaxis, min(ys), max(ys), is_log=False)
    if figure.upright is not None:
        axes.axvline(figure.upright, color=MUTED, linewidth=1.0, zorder=1.5)
    if figure.front:
        best = front(figure.points)
        axes.plot([p.x for p in best], [p.y for p in best], color=MUTED, linewidth=1.0, zorder=1.8)
    in_order = sorted(figure.points, key=lambda point: not point.in_focus)
    for number, point in enumerate(in_order):
        style = styles[point.label] if point.in_focus else BACKGROUND
        _draw_point(axes, point, style, above=-0.01 * number)
    axes.margins(0.08)
    _label(canvas, axes, in_order, styles)


def _draw_point(axes: "Axes", point: Point, style: Style, above: float) -> None:
    zorder = (3.0 if point.in_focus else 2.0) + above
    if point.in_focus:
        for bounds, draw, at in (
            (point.x_range, axes.hlines, point.y),
            (point.y_range, axes.vlines, point.x),
        ):
            if bounds is not None:
                draw(at, *bounds, color=style.colour, linewidth=1.0, zorder=zorder)
    size = 6.5 if point.in_focus else 4.5
    axes.plot(
        [point.x], [point.y], style.marker, color=style.colour, markersize=size, zorder=zorder
    )


def _label(canvas: "Canvas", axes: "Axes", points: list[Point], styles: dict[str, Style]) -> None:
    """Write names beside the points, joined to them where they had to move away."""
    texts = [
        axes.text(
            0, 0, shorten(point.label), transform=None,
            color=styles[point.label].colour if point.in_focus else MUTED,
        )
        for point in points
    ]  # fmt: skip
    for text in texts:
        text.set_in_layout(False)
    canvas.draw_without_rendering()
    sizes = [(text.get_window_extent().width, LABEL_HEIGHT) for text in texts]
    at = [tuple(axes.transData.transform((point.x, point.y))) for point in points]
    window = axes.get_window_extent()
    room = Box(window.x0, window.y0, window.x1, window.y1)
    for (x, y), box, text in zip(at, place(at, sizes, room), texts, strict=True):
        text.set(position=(box.left, box.bottom + 0.25 * LABEL_HEIGHT), va="baseline")
        near = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
        if abs(near[0] - x) + abs(near[1] - y) > 8.0:
            axes.plot(
                [x, near[0]], [y, near[1]],
                transform=None, color=FAINT, linewidth=0.6, zorder=1.0, in_layout=False,
            )  # fmt: skip
