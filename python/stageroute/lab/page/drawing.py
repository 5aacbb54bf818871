"""Figures of a study: as SVG that can stand in a page, the same bytes every time; as a picture."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import as_file, files
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from stageroute.checks import import_extra
from stageroute.errors import ResultsError
from stageroute.lab.summary import Curve, Figure, HeatMap, LineFigure, Point, PointFigure, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.figure import SubFigure

WIDTH: Final = 345.0
"""Of a figure, in CSS pixels where it is not scaled: the column of a telephone."""

HEIGHT: Final = 235.0
LINE: Final = 15.5
"""Heights: of axes with their labels, of a line of text."""

ALWAYS: Final = ("stageroute", "oracle")
"""What every page shows has the first looks, so that it is recognised from page to page."""

GREY: Final = {"color": "#a7b0b9", "linewidth": 0.9, "linestyle": "-", "marker": "o"}
REFERENCE: Final = {"color": "#1b1f24", "linewidth": 1.2}
REFERENCE_LINES: Final = ((0, (1, 2)), "-.", "--", "-")
LEVEL: Final[dict[str, Any]] = {
    "color": "#59636e", "linewidth": 1.0, "linestyle": "-", "marker": "", "zorder": 1.5,
}  # fmt: skip

LONGEST: Final = 24
"""Characters of a label of which two stand beside each other, and of a row's name."""

Looks = Mapping[str, int]
"""Which look of the style's cycle a label has, the same in all figures of a study."""

FACTS: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))
"""What matplotlib would write about the file: none of it."""


def looks(summary: Summary) -> Looks:
    """Return the look of every label that is in focus somewhere in a study."""
    found = [
        mark.label
        for figure in summary.figures
        if not isinstance(figure, HeatMap)
        for mark in (figure.curves if isinstance(figure, LineFigure) else figure.points)
        if mark.in_focus and not getattr(mark, "is_reference", False)
    ]
    return {label: number for number, label in enumerate(dict.fromkeys((*ALWAYS, *found)))}


def draw(figure: Figure, looks: Looks, name: str) -> str:
    """Return a figure as an ``svg`` element for a page of HTML; "" where it holds no value.

    Its identifiers are made of `name`, which is that of the figure in its page.
    """
    if not _has_values(figure):
        return ""
    with _house_style(name) as new_canvas:
        canvas = new_canvas(figsize=(WIDTH / 72.0, HEIGHT / 72.0))
        if isinstance(figure, HeatMap):
            _draw_map(canvas, figure)
        elif isinstance(figure, LineFigure):
            _draw_lines(canvas, figure, looks)
        else:
            _draw_points(canvas, figure, looks)
        file = io.StringIO()
        canvas.savefig(file, format="svg", metadata=FACTS)
    svg = file.getvalue()
    # Groups are numbered anew in every figure, and nothing refers to them.
    return re.sub(r'<g id="[^"]*"', "<g", svg[svg.index("<svg") :])


def save_plot(summary: Summary, path: Path, form: str | None = None) -> None:
    """Draw every figure with curves into one file, two in a row."""
    figures = [figure for figure in summary.figures if isinstance(figure, LineFigure)]
    if not figures:
        raise ResultsError(f"{summary.title}: there are no curves to draw")
    rows = -(-len(figures) // 2)
    with _house_style("curves") as new_canvas:
        canvas = new_canvas(figsize=(2.1 * WIDTH / 72.0, 1.4 * rows * HEIGHT / 72.0))
        places = canvas.subfigures(rows, 2, squeeze=False).ravel()
        for place, figure in zip(places, figures, strict=False):
            place.suptitle(figure.title, x=0.01, ha="left", weight="bold")
            _draw_lines(place, figure, looks(summary))
        canvas.savefig(path, format=form, dpi=144, transparent=False)


@contextmanager
def _house_style(name: str) -> Iterator["type[Canvas]"]:
    """Draw in the page's style, whatever a matplotlibrc says; gives the class of figures."""
    style, figure = (
        import_extra(f"matplotlib.{module}", "a figure", "lab") for module in ("style", "figure")
    )
    with (
        as_file(files(__package__) / "figures.mplstyle") as sheet,
        style.context(["default", sheet, {"svg.hashsalt": name}]),
    ):
        yield figure.Figure


def _has_values(figure: Figure) -> bool:
    if isinstance(figure, PointFigure):
        return bool(figure.points)
    rows = figure.values if isinstance(figure, HeatMap) else [curve.y for curve in figure.curves]
    return any(np.isfinite(row).any() for row in rows)


def _look(number: int) -> dict[str, Any]:
    from matplotlib import rcParams

    styles = rcParams["axes.prop_cycle"].by_key()
    look = {key: values[number % len(values)] for key, values in styles.items()}
    return look | ({"linewidth": 2.4} if number == 0 else {})


# ---- lines --------------------------------------------------------------------------------------


def _draw_lines(canvas: "Canvas | SubFigure", figure: LineFigure, looks: Looks) -> None:
    """Draw curves with their bands, those in focus on top."""
    axes, lines = canvas.subplots(), cycle(REFERENCE_LINES)
    for number, curve in enumerate(figure.curves):
        if curve.is_reference:
            look = REFERENCE | {"linestyle": next(lines)}
        else:
            look = _look(looks[curve.label]) if curve.in_focus else GREY
        _draw_curve(axes, curve, look, above=-0.01 * number)
    _scale(axes, figure)
    _explain(canvas)


def _draw_curve(axes: "Axes", curve: Curve, look: dict[str, Any], above: float) -> None:
    is_grey = not curve.in_focus
    marker = look.get("marker", "o") if np.isfinite(curve.y).sum() == 1 else ""
    label = f"{curve.label}: {curve.detail}" if curve.detail else curve.label
    axes.plot(
        curve.x, curve.y, **look | {"marker": marker}, zorder=(2.0 if is_grey else 3.0) + above,
        label="others" if is_grey else label,
    )  # fmt: skip
    if curve.low is not None and curve.high is not None and not is_grey:
        axes.fill_between(
            curve.x, curve.low, curve.high, color=look["color"], alpha=0.16, linewidth=0,
            zorder=2.5 + above,
        )  # fmt: skip


def _scale(axes: "Axes", figure: LineFigure | PointFigure) -> None:
    """Set both scales; y is named above its axis, to be read without turning."""
    if figure.level is not None:
        axes.axhline(figure.level, **LEVEL)
    axes.set_xlabel(figure.x_label, loc="right")
    axes.set_title(figure.y_label)
    _set_ticks(axes, "x", is_log=figure.log_x)
    _set_ticks(axes, "y", is_log=figure.log_y)
    axes.set_ylim(figure.y_range)


def _set_ticks(axes: "Axes", side: Literal["x", "y"], *, is_log: bool) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    axis = axes.xaxis if side == "x" else axes.yaxis
    if not is_log:
        axis.set_major_locator(MaxNLocator(4))
    else:
        found = np.concatenate([line.get_data()[side == "y"] for line in axes.lines])
        low, high = np.nanmin(found), np.nanmax(found)
        if low > 0.0:
            getattr(axes, f"set_{side}scale")("log")
            subs = (1.0, 2.0, 5.0) if high / low < 50.0 else (1.0,)
            axis.set_major_locator(LogLocator(subs=subs, numticks=6))
        else:
            # Logarithmic but about 0: three decades of what there is.
            size = max(abs(low), abs(high), 1e-300)
            threshold = 10.0 ** np.floor(np.log10(size) - 2.0)
            getattr(axes, f"set_{side}scale")("symlog", linthresh=threshold)
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,.10g}"))


def _explain(canvas: "Canvas | SubFigure") -> None:
    """Put the names below the axes, each once, and make room for them."""
    (axes,) = canvas.axes
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    if "others" in named:
        named["others"] = named.pop("others")
    if set(named) <= {""}:
        return
    columns = 2 if max(map(len, named)) <= LONGEST else 1
    if isinstance(canvas, type(canvas.figure)):
        canvas.set_figheight((HEIGHT + LINE * -(-len(named) // columns)) / 72.0)
    canvas.legend(named.values(), named, loc="outside lower left", ncols=columns)


# ---- points -------------------------------------------------------------------------------------


def front(points: tuple[Point, ...]) -> list[Point]:
    """Return the points that no other beats on both axes (more y, less x), by x."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.x, -point.y)):
        if not best or point.y > best[-1].y:
            best.append(point)
    return best


def _draw_points(canvas: "Canvas", figure: PointFigure, looks: Looks) -> None:
    """Draw points with their intervals; at the edge, hollow, those that lie outside."""
    axes = canvas.subplots()
    xs, ys = ([getattr(point, name) for point in figure.points] for name in "xy")
    axes.margins(0.08)
    axes.plot(xs, ys, linestyle="", marker="")  # room for all, but where a range says otherwise
    _scale(axes, figure)
    axes.set_xlim(figure.x_range)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    at = list(zip(np.clip(xs, left, right), np.clip(ys, low, high), strict=True))
    if figure.upright is not None:
        axes.axvline(figure.upright, **LEVEL)
    if figure.front:
        best = front(figure.points)
        axes.plot([p.x for p in best], [p.y for p in best], **LEVEL)
    for number, (point, place) in enumerate(zip(figure.points, at, strict=True)):
        look = _look(looks[point.label]) if point.in_focus else GREY
        _draw_point(axes, point, place, look, above=-0.01 * number)
    _explain(canvas)
    _name_points(canvas, figure, at)


def _draw_point(
    axes: "Axes", point: Point, at: tuple[float, float], look: dict[str, Any], above: float
) -> None:
    zorder = (3.0 if point.in_focus else 2.0) + above
    if point.in_focus and point.x_range and point.y_range:
        style = {"color": look["color"], "linewidth": 1.0, "zorder": zorder}
        axes.hlines(point.y, *point.x_range, **style)
        axes.vlines(point.x, *point.y_range, **style)
    axes.plot(
        *([value] for value in at), look["marker"], color=look["color"], clip_on=False,
        fillstyle="full" if at == (point.x, point.y) else "none", zorder=zorder,
        markersize=6.5 if point.in_focus else 4.0,
        label=point.label if point.in_focus else None,
    )  # fmt: skip


def _name_points(canvas: "Canvas", figure: PointFigure, at: list[tuple[float, float]]) -> None:
    """Write the names of points that are not in focus beside them, where there is room."""
    (axes,) = canvas.axes
    named = [k for k, point in enumerate(figure.points) if not point.in_focus]
    if not named:
        return
    x, y = zip(*at, strict=True)
    lines = [line for line in axes.lines if np.size(line.get_xdata()) > 1 and not line.get_marker()]
    import_extra("textalloc", "a figure", "lab").allocate(
        axes, [x[k] for k in named], [y[k] for k in named],
        [figure.points[k].label for k in named], x_scatter=list(x), y_scatter=list(y),
        textsize=10.5, textcolor="#59636e", linecolor=GREY["color"], linewidth=0.6,
        max_distance=0.1, draw_all=False, plot_kwargs={"linestyle": "-", "marker": ""},
        x_lines=[line.get_xdata() for line in lines], y_lines=[line.get_ydata() for line in lines],
    )  # fmt: skip


# ---- maps ---------------------------------------------------------------------------------------


def _draw_map(canvas: "Canvas", figure: HeatMap) -> None:
    """Draw shares: the darker, the more; grey where there can be none."""
    from matplotlib import colormaps

    canvas.set_figheight((60.0 + 3 * LINE + LINE * len(figure.rows)) / 72.0)
    axes = canvas.subplots()
    colours = colormaps["Blues"].with_extremes(bad="#e1e5e9")
    image = axes.imshow(np.array(figure.values), vmin=0.0, vmax=figure.top, cmap=colours)
    axes.set_yticks(range(len(figure.rows)), [_row_name(row) for row in figure.rows])
    step = -(-len(figure.columns) // 7)
    ticks = range(0, len(figure.columns), step)
    axes.set_xticks(ticks, [figure.columns[tick] for tick in ticks])
    axes.set_xlabel(figure.x_label, loc="right")
    axes.grid(visible=False)
    canvas.colorbar(
        image, location="bottom", aspect=40, label=figure.value_label, ticks=[0.0, figure.top],
        format="%.2g",
    )  # fmt: skip


def _row_name(row: str) -> str:
    """Return a model's name without its provider's, where both are too long."""
    short = row if len(row) <= LONGEST else row.rpartition("/")[2]
    return short if len(short) <= LONGEST else f"{short[: LONGEST - 1]}…"
