"""A figure of a study as SVG that can stand in a page: small, themed, the same bytes every time."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import numpy as np

from stageroute.errors import MissingExtraError
from stageroute.lab.page.axes import height_for
from stageroute.lab.page.heat_map import draw_heat_map, heat_map_height
from stageroute.lab.page.lines import draw_lines, line_figure_height
from stageroute.lab.page.palette import COLOURS, GRID, INK, MUTED, Style
from stageroute.lab.page.points import draw_points
from stageroute.lab.page.wording import describe
from stageroute.lab.summary import Figure, HeatMap, LineFigure

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["FONT_SIZE", "WIDTH", "draw"]

WIDTH: Final = 345.0
"""Of a figure, in CSS pixels where it is not scaled: the column of a telephone."""

FONT_SIZE: Final = 10.5
"""The smallest in figures, in the same unit."""

RULES: Final = {
    "figure.dpi": 72,  # a unit of the SVG is a pixel
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "axes.titlelocation": "left",
    "axes.titlecolor": MUTED,
    "axes.titlepad": 9.0,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.xmargin": 0.0,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.major.size": 0.0,
    "xtick.major.size": 3.0,
    "xtick.minor.size": 0.0,
    "ytick.minor.size": 0.0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "text.parse_math": False,  # names are names
}

FACTS: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))
"""What matplotlib would write about the file: none of it."""

SVG: Final = "{http://www.w3.org/2000/svg}"
LINK: Final = "{http://www.w3.org/1999/xlink}href"


def draw(figure: Figure, styles: dict[str, Style], name: str) -> str:
    """Draw a figure.

    Parameters
    ----------
    figure : LineFigure, PointFigure or HeatMap
    styles : dict of str to Style
        By label, for what is in focus.
    name : str
        Of the figure in its page: what its identifiers are made of.

    Returns
    -------
    str
        An ``svg`` element for a page of HTML; colours are CSS variables. Empty where the figure
        holds no value.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    if not _has_values(figure):
        return ""
    with _house_rules(name):
        canvas = _canvas(figure)
        if isinstance(figure, LineFigure):
            draw_lines(canvas, figure, styles)
        elif isinstance(figure, HeatMap):
            draw_heat_map(canvas, figure)
        else:
            draw_points(canvas, figure, styles)
        file = io.StringIO()
        canvas.savefig(file, format="svg", transparent=True, metadata=FACTS)
    return _for_page(file.getvalue(), f"{figure.title}. {describe(figure)}")


def _has_values(figure: Figure) -> bool:
    if isinstance(figure, LineFigure):
        return any(
            np.isfinite(np.asarray(curve.y, dtype=np.float64)).any() for curve in figure.curves
        )
    if isinstance(figure, HeatMap):
        return any(np.isfinite(np.asarray(row, dtype=np.float64)).any() for row in figure.values)
    return bool(figure.points)


@contextmanager
def _house_rules(name: str) -> Iterator[None]:
    try:
        from matplotlib import style
    except ImportError as error:
        raise MissingExtraError("figures need matplotlib: pip install 'stageroute[lab]'") from error
    # Whatever a matplotlibrc says: the page looks the same everywhere.
    with style.context(["default", RULES | {"svg.hashsalt": name}]):
        yield


def _canvas(figure: Figure) -> "Canvas":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    if isinstance(figure, LineFigure):
        height = line_figure_height(figure)
    elif isinstance(figure, HeatMap):
        height = heat_map_height(figure)
    else:
        height = height_for(len(figure.points))
    canvas = Canvas(figsize=(WIDTH / 72.0, height / 72.0))
    FigureCanvasAgg(canvas)  # measures text
    return canvas


def _for_page(text: str, description: str) -> str:
    """Leave out what a page does not need, and give it what a page does."""
    root = ET.fromstring(text)  # noqa: S314 - matplotlib wrote it just now
    for element in list(root.iter()):
        for child in list(element):
            if child.tag in (f"{SVG}metadata", f"{SVG}style"):
                element.remove(child)
        # Groups are numbered anew in every figure; nothing refers to them.
        if element.tag == f"{SVG}g":
            element.attrib.pop("id", None)
        _clean(element)
    width, height = root.attrib["viewBox"].split()[2:]
    root.attrib.clear()
    root.attrib.update(
        {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": description}
    )
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


VARIABLES: Final = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}


def _clean(element: ET.Element) -> None:
    """Take off namespaces, which HTML knows; name colours; round what is drawn to 0.01 pixel."""
    element.tag = element.tag.removeprefix(SVG)
    if LINK in element.attrib:
        element.attrib["href"] = element.attrib.pop(LINK)
    for key, value in element.attrib.items():
        element.attrib[key] = _tidy(key, value)
    element.tail = None
    if element.text is not None and not element.text.strip():
        element.text = None


def _tidy(key: str, value: str) -> str:
    if key == "style":
        return re.sub(r"#[0-9a-f]{6}\b", lambda found: VARIABLES.get(found[0], found[0]), value)
    if key in ("d", "x", "y", "width", "height", "transform", "points"):
        rounded = re.sub(r"-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", value)
        return re.sub(r"\s+", " ", rounded).strip()
    return value
