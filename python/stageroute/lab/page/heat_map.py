"""Shares over stages: the darker, the more; grey where there can be none."""

from typing import TYPE_CHECKING, Final

import numpy as np

from stageroute.lab.page.axes import reserve
from stageroute.lab.page.palette import FAINT, GRID, SERVES
from stageroute.lab.page.wording import shorten
from stageroute.lab.summary import HeatMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

__all__ = ["draw_heat_map", "heat_map_height"]

ROW: Final = 16.0
KEY: Final = 17.0
FRAME: Final = 42.0 + KEY
"""Heights: of a row, of the key at the bottom, of all but the rows."""

LONGEST: Final = 20
"""Characters of a row's name."""

MOST_TICKS: Final = 7
ROUND: Final = tuple(a * 10**k for k in range(6) for a in (1, 2, 5))
"""Columns from tick to tick."""

STEPS: Final = 5
STEP: Final = 14.0
"""The key: how many shades above nothing, and the width of each."""


def heat_map_height(figure: HeatMap) -> float:
    """Return the height for its rows."""
    return FRAME + ROW * len(figure.rows)


def draw_heat_map(canvas: "Canvas", figure: HeatMap) -> None:
    """Draw the map, and its key below."""
    strip = KEY / heat_map_height(figure)
    reserve(canvas, strip)
    axes = canvas.subplots()
    values = np.array([np.asarray(row, dtype=np.float64) for row in figure.values])
    _draw_cells(axes, values, figure.top)
    axes.set(xlim=(0, len(figure.columns)), ylim=(len(figure.rows), 0))
    axes.set_yticks(np.arange(len(figure.rows)) + 0.5, [_row_name(row) for row in figure.rows])
    ticks = _ticks(len(figure.columns))
    axes.set_xticks([tick + 0.5 for tick in ticks], [figure.columns[tick] for tick in ticks])
    axes.set_xlabel(figure.x_label, loc="right")
    axes.tick_params(length=0.0, pad=4.0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    _draw_key(canvas, figure)


def _ticks(num_columns: int) -> list[int]:
    """Return the columns to name: the first, and those that end a round number of columns."""
    step = next(s for s in ROUND if num_columns <= s * MOST_TICKS)
    return sorted({0, *range(step - 1, num_columns, step)} - ({1} if step == 2 else set()))


def _row_name(row: str) -> str:
    """Return a model's name without its provider's, where both are too long."""
    return shorten(row if len(row) <= LONGEST else row.rpartition("/")[2], LONGEST)


def _draw_cells(axes: "Axes", values: "NDArray[np.float64]", top: float) -> None:
    from matplotlib.patches import Rectangle

    for row, shares in enumerate(values):
        axes.axhline(row + 1.0, color=GRID, linewidth=0.6, zorder=0.5)
        for column in np.flatnonzero(np.isnan(shares)).tolist():
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=GRID, edgecolor="none"))
        for column in np.flatnonzero(np.nan_to_num(shares) > 0.0).tolist():
            strength = min(float(shares[column]) / top, 1.0)
            axes.add_patch(
                Rectangle((column, row), 1, 1, facecolor=SERVES, alpha=strength, edgecolor="none")
            )


def _draw_key(canvas: "Canvas", figure: HeatMap) -> None:
    """Draw what the shades mean, from nothing to `top`, in the strip below the map."""
    from matplotlib.patches import Rectangle

    start = 14.0
    for step in range(STEPS + 1):
        box = Rectangle(
            (start + STEP * step, 3.0), STEP, 9.0,
            transform=None, facecolor=SERVES, alpha=step / STEPS, edgecolor="none",
        )  # fmt: skip
        canvas.add_artist(box).set_in_layout(False)
    end = start + STEP * (STEPS + 1)
    outline = Rectangle(
        (start, 3.0), end - start, 9.0,
        transform=None, facecolor="none", edgecolor=FAINT, linewidth=0.6,
    )  # fmt: skip
    canvas.add_artist(outline).set_in_layout(False)
    for x, text in ((4.0, "0"), (end + 5.0, f"{figure.top:.2g}   {figure.value_label}")):
        canvas.text(x, 4.0, text, transform=None).set_in_layout(False)
