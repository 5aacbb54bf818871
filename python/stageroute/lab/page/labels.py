"""Where labels go so that none covers another."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import numpy as np

__all__ = ["Box", "place", "spread"]


def spread(targets: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move heights apart as little as possible.

    Parameters
    ----------
    targets : sequence of float
        Where the labels would be, in any order.
    gap : float
        Least distance between two of them; made smaller where they would not fit.
    low, high : float
        Ends of the room there is.

    Returns
    -------
    list of float
        The heights, in the order of `targets`: with least squared movement where the ends do not
        interfere (pool adjacent violators).
    """
    if not targets:
        return []
    if len(targets) > 1:
        gap = min(gap, (high - low) / (len(targets) - 1))
    order = np.argsort(targets, kind="stable")
    steps = gap * np.arange(len(targets))
    blocks: list[tuple[float, int]] = []
    for wanted in np.asarray(targets)[order] - steps:
        mean, size = float(wanted), 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean = (mean * size + before * count) / (size + count)
            size += count
        blocks.append((mean, size))
    flat = np.repeat([mean for mean, _ in blocks], [size for _, size in blocks])
    heights = np.clip(flat, low, high - steps[-1]) + steps
    placed = np.empty(len(targets))
    placed[order] = heights
    return [float(height) for height in placed]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Area of what two boxes share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        """Its area."""
        return (self.right - self.left) * (self.top - self.bottom)


RINGS: Final = (7.0, 13.0, 21.0, 31.0, 43.0, 57.0)
"""How far from its point a label may be, nearest first."""

NEAR: Final = 2
"""How many of the rings are close."""

DIRECTIONS: Final = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    room: Box,
    num_always: int,
) -> list[Box | None]:
    """Find a place near its point for each label, those given first having the first choice.

    Parameters
    ----------
    points : sequence of (float, float)
    sizes : sequence of (float, float)
        Width and height of each label.
    room : Box
        Where labels may be.
    num_always : int
        The first so many labels are placed in any case, where nothing is free with the least
        overlap; the others only close to their point, and where they cover nothing.

    Returns
    -------
    list of Box or None
        None for labels that are left out.
    """
    marks = [Box(x - 4.0, y - 4.0, x + 4.0, y + 4.0) for x, y in points]
    placed: list[Box | None] = []
    for number, (point, size) in enumerate(zip(points, sizes, strict=True)):
        obstacles = [*marks, *(box for box in placed if box is not None)]
        rings = RINGS if number < num_always else RINGS[:NEAR]
        candidates = [_beside(point, size, ring, way) for ring in rings for way in DIRECTIONS]
        # `min` keeps the first of equals, which is the nearest.
        cost, best = min(
            ((_cost(box, obstacles, room), box) for box in candidates), key=itemgetter(0)
        )
        placed.append(best if number < num_always or cost == 0.0 else None)
    return placed


def _cost(box: Box, obstacles: Sequence[Box], room: Box) -> float:
    outside = box.area - box.overlap(room)
    return round(10.0 * outside + sum(box.overlap(other) for other in obstacles), 6)


def _beside(
    point: tuple[float, float], size: tuple[float, float], ring: float, way: tuple[int, int]
) -> Box:
    (x, y), (width, height) = point, size
    across, up = way
    # Diagonals go as far along each axis as to stay on the ring.
    reach = ring if 0 in way else ring * 0.75
    left = x + across * reach - (0.0, 0.5, 1.0)[1 - across] * width
    bottom = y + up * reach - (0.0, 0.5, 1.0)[1 - up] * height
    return Box(left, bottom, left + width, bottom + height)
