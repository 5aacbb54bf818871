"""The curves of a study in one picture."""

from pathlib import Path

from stageroute.errors import ResultsError
from stageroute.lab.page.drawing import HEIGHT, WIDTH, draw_lines, house_style, looks
from stageroute.lab.summary import LineFigure, Summary

__all__ = ["save_plot"]


def save_plot(summary: Summary, path: Path) -> None:
    """Draw every figure with curves, two in a row.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ResultsError
        If there is no such figure.
    """
    figures = [figure for figure in summary.figures if isinstance(figure, LineFigure)]
    if not figures:
        raise ResultsError(f"{summary.title}: there are no curves to draw")
    rows = -(-len(figures) // 2)
    with house_style("curves") as new_canvas:
        canvas = new_canvas(figsize=(2.1 * WIDTH / 72.0, 1.4 * rows * HEIGHT / 72.0))
        places = canvas.subfigures(rows, 2, squeeze=False).ravel()
        for place, figure in zip(places, figures, strict=False):
            place.suptitle(figure.title, x=0.01, ha="left", weight="bold")
            draw_lines(place, figure, looks(summary))
        canvas.savefig(path, dpi=144, transparent=False)
