"""Points with their intervals, and the front that no other point beats.

Those in focus have their names; the others where there is room near them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from stageroute.lab.page.axes import LABEL_HEIGHT, dress, reserve, set_scale
from stageroute.lab.page.labels import Box, place
from stageroute.lab.page.palette import FAINT, MUTED, Style
from stageroute.lab.page.wording import shorten, shown
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
    reserve(canvas)
    axes = canvas.subplots()
    dress(axes, figure.x_label, figure.y_label)
    _scale(axes, figure)
    if figure.upright is not None:
        axes.axvline(figure.upright, color=MUTED, linewidth=1.0, zorder=1.5)
    if figure.front:
        best = front(figure.points)
        axes.plot([p.x for p in best], [p.y for p in best], color=MUTED, linewidth=1.0, zorder=1.8)
    points = sorted(figure.points, key=lambda point: not point.in_focus)
    for number, point in enumerate(points):
        style = styles[point.label] if point.in_focus else BACKGROUND
        _draw_point(axes, point, style, above=-0.01 * number)
    _label(canvas, axes, points, styles)


def _scale(axes: "Axes", figure: PointFigure) -> None:
    xs, ys = [point.x for point in figure.points], [point.y for point in figure.points]
    axes.plot(xs, ys, linestyle="none")  # room for all, but where a range says otherwise
    axes.margins(0.08)
    x_low, x_high = figure.x_range or (min(xs), max(xs))
    y_low, y_high = figure.y_range or (min(ys), max(ys))
    set_scale(axes, "x", x_low, x_high, is_log=figure.log_x)
    set_scale(axes, "y", y_low, y_high, is_log=False)
    if figure.x_range is not None:
        axes.set_xlim(x_low, x_high)
    if figure.y_range is not None:
        axes.set_ylim(y_low, y_high)


def _shown_at(axes: "Axes", point: Point) -> tuple[float, float]:
    """Return where a point is drawn: at the edge if it lies outside."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    return min(max(point.x, left), right), min(max(point.y, low), high)


def _draw_point(axes: "Axes", point: Point, style: Style, above: float) -> None:
    zorder = (3.0 if point.in_focus else 2.0) + above
    if point.in_focus:
        for bounds, draw, at in (
            (point.x_range, axes.hlines, point.y),
            (point.y_range, axes.vlines, point.x),
        ):
            if bounds is not None:
                draw(at, *bounds, color=style.colour, linewidth=1.0, zorder=zorder)
    x, y = _shown_at(axes, point)
    is_outside = (x, y) != (point.x, point.y)
    axes.plot(
        [x], [y], style.marker, color=style.colour, markersize=6.5 if point.in_focus else 4.5,
        fillstyle="none" if is_outside else "full", clip_on=False, zorder=zorder,
    )  # fmt: skip


def _name(axes: "Axes", point: Point) -> str:
    """Return a point's label, with its values if it lies outside."""
    is_outside = _shown_at(axes, point) != (point.x, point.y)
    values = f" ({shown(point.x)}, {shown(point.y)})" if is_outside else ""
    return shorten(point.label) + values


def _label(canvas: "Canvas", axes: "Axes", points: list[Point], styles: dict[str, Style]) -> None:
    """Write names beside the points, joined to them where they had to move away."""
    texts = [
        axes.text(
            0, 0, _name(axes, point), transform=None, in_layout=False,
            color=styles[point.label].colour if point.in_focus else MUTED,
        )
        for point in points
    ]  # fmt: skip
    canvas.draw_without_rendering()  # lays out, so that places in pixels are known
    sizes = [(text.get_window_extent().width, LABEL_HEIGHT) for text in texts]
    at = [tuple(axes.transData.transform(_shown_at(axes, point))) for point in points]
    window = axes.get_window_extent()
    room = Box(window.x0, window.y0, window.x1, window.y1)
    boxes = place(at, sizes, room, num_always=sum(point.in_focus for point in points))
    for (x, y), box, text in zip(at, boxes, texts, strict=True):
        if box is None:
            text.remove()
            continue
        text.set(position=(box.left, box.bottom + 0.25 * LABEL_HEIGHT), va="baseline")
        near = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
        if abs(near[0] - x) + abs(near[1] - y) > 8.0:
            axes.plot(
                [x, near[0]], [y, near[1]],
                transform=None, color=FAINT, linewidth=0.6, zorder=1.0, in_layout=False,
            )  # fmt: skip
