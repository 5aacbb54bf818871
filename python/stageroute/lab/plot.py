"""The curves of a study in one picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from stageroute.errors import MissingExtraError, ResultsError
from stageroute.lab.summary import LineFigure, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["save_plot"]

COLUMNS = 2


def save_plot(summary: Summary, path: Path) -> None:
    """Draw every figure with curves, two in a row.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ResultsError
        If there is no such figure.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("a picture needs: pip install 'stageroute[lab]'") from None
    figures = [figure for figure in summary.figures if isinstance(figure, LineFigure)]
    if not figures:
        raise ResultsError(f"{summary.title}: there are no curves to draw")
    rows = -(-len(figures) // COLUMNS)
    canvas = Figure(figsize=(10, 3.4 * rows), layout="constrained")
    places = canvas.subplots(rows, COLUMNS, squeeze=False).ravel()
    colours: dict[str, str] = {}
    for axes, figure in zip(places, figures, strict=False):
        _draw(axes, figure, colours)
    for axes in places[len(figures) :]:
        axes.axis("off")
    handles = {
        line.get_label(): line
        for axes in places
        for line in axes.lines
        if not str(line.get_label()).startswith("_")
    }
    canvas.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=5, frameon=False
    )
    canvas.savefig(path, dpi=100)


def _draw(axes: "Axes", figure: LineFigure, colours: dict[str, str]) -> None:
    for curve in figure.curves:
        colour = colours.setdefault(curve.label, f"C{len(colours) % 10}")
        axes.plot(curve.x, curve.y, label=curve.label, color=colour, linewidth=1.6)
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
    axes.set(title=figure.title, xlabel=figure.x_label, ylabel=figure.y_label)
    if figure.log_x:
        axes.set_xscale("symlog", linthresh=10.0)
    if figure.log_y:  # linear near 0, where regret may be negative
        axes.set_yscale("symlog", linthresh=10.0)
    if figure.level is not None:
        axes.axhline(figure.level, color="black", linewidth=0.8, linestyle=":")
    if figure.y_range is not None:
        axes.set_ylim(*figure.y_range)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
