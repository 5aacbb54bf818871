"""Colours and dashes: which label is drawn how, the same in all figures of a study.

Hues follow Okabe & Ito (2008), which remain apart under the common forms of colour blindness, made
darker for text on white. Dashes tell the lines apart in grey.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from stageroute.lab.summary import LineFigure, PointFigure, Summary

__all__ = ["COLOURS", "FAINT", "GRID", "INK", "MUTED", "SERVES", "Style", "styles"]

COLOURS: Final = MappingProxyType(
    {
        "ink": ("#1b1f24", "#e8eaed"),
        "muted": ("#59636e", "#a3adb8"),
        "faint": ("#a7b0b9", "#5f6a75"),
        "grid": ("#e1e5e9", "#30373e"),
        "green": ("#0b6e4f", "#45c99b"),
        "navy": ("#1d3557", "#a9c4ec"),
        "orange": ("#b84a00", "#f0935a"),
        "blue": ("#0068a8", "#62b5ec"),
        "purple": ("#8e3b78", "#dd92c8"),
        "brown": ("#7a5c00", "#d9b84a"),
        "teal": ("#00707d", "#4cc3d1"),
        "red": ("#a3182d", "#f08a98"),
    }
)
"""By name: on a light page and on a dark one."""

INK: Final = COLOURS["ink"][0]
MUTED: Final = COLOURS["muted"][0]
FAINT: Final = COLOURS["faint"][0]
GRID: Final = COLOURS["grid"][0]
SERVES: Final = COLOURS["blue"][0]


@dataclass(frozen=True, slots=True)
class Style:
    """How a label's line or point is drawn; dashes are lengths on and off, in units of width."""

    colour: str
    dashes: tuple[float, ...] = ()
    width: float = 1.5
    marker: str = "o"


FIXED: Final = MappingProxyType(
    {
        "stageroute": Style(COLOURS["green"][0], (), 2.4, "o"),
        "oracle": Style(COLOURS["navy"][0], (4.0, 2.0), 1.6, "D"),
    }
)
"""What every page shows is recognised from page to page."""

OTHERS: Final = (
    Style(COLOURS["orange"][0], (1.2, 1.4), 1.9, "s"),
    Style(COLOURS["blue"][0], (6.0, 1.5, 1.2, 1.5), 1.6, "^"),
    Style(COLOURS["purple"][0], (8.0, 2.0), 1.6, "v"),
    Style(COLOURS["brown"][0], (3.0, 1.2), 1.6, "P"),
    Style(COLOURS["teal"][0], (6.0, 1.5, 1.2, 1.5, 1.2, 1.5), 1.6, "X"),
    Style(COLOURS["red"][0], (), 1.6, "p"),
)


def styles(summary: Summary) -> dict[str, Style]:
    """Return the style of every label that is in focus somewhere in a study."""
    found = dict.fromkeys(label for figure in summary.figures for label in _in_focus(figure))
    others = [label for label in found if label not in FIXED]
    return dict(FIXED) | {
        label: OTHERS[number % len(OTHERS)] for number, label in enumerate(others)
    }


def _in_focus(figure: object) -> Iterable[str]:
    if isinstance(figure, LineFigure):
        return [c.label for c in figure.curves if c.in_focus and not c.is_reference]
    if isinstance(figure, PointFigure):
        return [point.label for point in figure.points if point.in_focus]
    return []
