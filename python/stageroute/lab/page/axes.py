"""What figures with two axes share: their scales, their ticks, their frame."""

import math
from typing import TYPE_CHECKING, Final, Literal

from stageroute.lab.page.palette import MUTED
from stageroute.lab.page.wording import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Canvas

__all__ = ["LABEL_HEIGHT", "dress", "height_for", "reserve", "set_scale"]

HEIGHT: Final = 275.0
LABEL_HEIGHT: Final = 11.6
"""Of a line of text: labels stand no closer."""

FRAME: Final = 66.0
"""Of a figure's height, what is not axes."""

FEW_DECADES: Final = 1.7
"""Below so many, a logarithmic axis has ticks at 2 and 5 too."""

LOG_DECADES: Final = 3
"""Of an axis that is logarithmic but for values about 0."""

MOST_TICKS: Final = 4

PADDING: Final = 0.03
"""Around everything, in inches: matplotlib's unit."""


def height_for(num_labels: int) -> float:
    """Return the height of a figure in which so many labels have room."""
    return max(HEIGHT, FRAME + LABEL_HEIGHT * num_labels)


def reserve(canvas: "Canvas", share: float = 0.0) -> None:
    """Lay the figure out, with a share of its height at the bottom left free."""
    rect = (0.0, share, 1.0, 1.0 - share)
    canvas.set_layout_engine("constrained", rect=rect, w_pad=PADDING, h_pad=PADDING)


def dress(axes: "Axes", x_label: str, y_label: str) -> None:
    """Name the axes: the upright one above it, where its name can be read without turning."""
    axes.set_title(y_label)
    axes.set_xlabel(x_label, loc="right")
    axes.grid(visible=True, axis="y")
    axes.spines["left"].set_visible(False)


def set_scale(
    axes: "Axes", side: Literal["x", "y"], low: float, high: float, *, is_log: bool
) -> None:
    """Set scale and ticks of one side for values between `low` and `high`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis: Axis = axes.xaxis if side == "x" else axes.yaxis
    change_scale = axes.set_xscale if side == "x" else axes.set_yscale
    if not is_log:
        axis.set_major_locator(MaxNLocator(MOST_TICKS))
    elif low > 0.0:
        change_scale("log")
        subs = (1.0, 2.0, 5.0) if math.log10(high / low) < FEW_DECADES else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=MOST_TICKS + 2))
        axis.set_minor_locator(NullLocator())
    else:
        size = max(abs(low), abs(high), 1e-300)
        threshold = 10.0 ** math.floor(math.log10(size) - LOG_DECADES + 1)
        change_scale("symlog", linthresh=threshold)
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _position: shown(value)))
    axis.set_tick_params(colors=MUTED)
