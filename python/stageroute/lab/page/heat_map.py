"""Shares over stages: the darker, the more; grey where there can be none."""

from typing import TYPE_CHECKING, Final

import numpy as np

from stageroute.lab.page.palette import FAINT, GRID, SERVES
from stageroute.lab.page.wording import shorten, shown
from stageroute.lab.summary import HeatMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

__all__ = ["draw_heat_map", "heat_map_height"]

ROW: Final = 16.0
FRAME: Final = 84.0
LONGEST: Final = 22
"""Characters of a row's name."""

MOST_TICKS: Final = 7
STEPS: Final = 5
"""Of the key."""


def heat_map_height(figure: HeatMap) -> float:
    """Return the height for its rows."""
    return FRAME + ROW * len(figure.rows)


def draw_heat_map(canvas: "Canvas", figure: HeatMap) -> None:
    """Draw the map with its key below."""
    axes, key = canvas.subplots(
        2, 1, gridspec_kw={"height_ratios": [ROW * len(figure.rows), 9.0], "hspace": 0.0}
    )
    values = np.array([np.asarray(row, dtype=np.float64) for row in figure.values])
    _draw_cells(axes, values, figure.top)
    axes.set(xlim=(0, len(figure.columns)), ylim=(len(figure.rows), 0))
    axes.set_yticks(np.arange(len(figure.rows)) + 0.5, [shorten(r, LONGEST) for r in figure.rows])
    step = -(-len(figure.columns) // MOST_TICKS)
    # The first column and every `step`-th: 1, 5, 10, … for columns that count from 1.
    ticks = sorted({0, *range(step - 1, len(figure.columns), step)} - ({1} if step == 2 else set()))
    axes.set_xticks([tick + 0.5 for tick in ticks], [figure.columns[tick] for tick in ticks])
    axes.set_xlabel(figure.x_label, loc="right")
    axes.tick_params(length=0.0, pad=4.0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    _draw_key(key, figure.top, figure.value_label)


def _draw_cells(axes: "Axes", values: "NDArray[np.float64]", top: float) -> None:
    from matplotlib.patches import Rectangle

    for row, shares in enumerate(values):
        axes.axhline(row + 1.0, color=GRID, linewidth=0.6, zorder=1.0)
        for column in np.flatnonzero(np.isnan(shares)):
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=GRID, edgecolor="none"))
        for column in np.flatnonzero(np.nan_to_num(shares) > 0.0):
            strength = min(float(shares[column]) / top, 1.0)
            axes.add_patch(
                Rectangle(
                    (column, row + 0.04), 1, 0.92,
                    facecolor=SERVES, alpha=strength, edgecolor="none",
                )
            )  # fmt: skip


def _draw_key(key: "Axes", top: float, label: str) -> None:
    """Draw what the shades mean, from nothing to `top`."""
    from matplotlib.patches import Rectangle

    for step in range(STEPS + 1):
        key.add_patch(
            Rectangle((step, 0), 1, 1, facecolor=SERVES, alpha=step / STEPS, edgecolor=FAINT)
        )
    key.set(xlim=(-4, 14), ylim=(0, 1))
    key.text(-0.3, 0.5, "0", ha="right", va="center_baseline")
    key.text(STEPS + 1.3, 0.5, f"{shown(top)}   {label}", va="center_baseline")
    key.axis("off")
