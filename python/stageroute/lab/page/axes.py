"""What figures with two axes share: their scales, their ticks, their frame."""

import math
from typing import TYPE_CHECKING, Final

from stageroute.lab.page.palette import MUTED
from stageroute.lab.page.wording import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["LABEL_HEIGHT", "dress", "height_for", "set_scale"]

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


def height_for(num_labels: int) -> float:
    """Return the height of a figure in which so many labels have room."""
    return max(HEIGHT, FRAME + LABEL_HEIGHT * num_labels)


def dress(axes: "Axes", x_label: str, y_label: str) -> None:
    """Name the axes: the upright one above it, where its name can be read without turning."""
    axes.set_title(y_label)
    axes.set_xlabel(x_label, loc="right")
    axes.grid(visible=True, axis="y")
    axes.spines["left"].set_visible(False)


def set_scale(axis: "Axis", low: float, high: float, *, is_log: bool) -> None:
    """Set scale and ticks for values between `low` and `high`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    if not is_log:
        axis.set_major_locator(MaxNLocator(MOST_TICKS))
    elif low > 0.0:
        axis._set_axes_scale("log")  # noqa: SLF001 - the axis knows its side of the axes
        subs = (1.0, 2.0, 5.0) if math.log10(high / low) < FEW_DECADES else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=MOST_TICKS + 2))
        axis.set_minor_locator(NullLocator())
    else:
        size = max(abs(low), abs(high), 1e-300)
        threshold = 10.0 ** math.floor(math.log10(size) - LOG_DECADES + 1)
        axis._set_axes_scale("symlog", linthresh=threshold)  # noqa: SLF001
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _position: shown(value)))
    axis.set_tick_params(colors=MUTED)
