"""The deployment MIP in the native core: branch and bound over live sets.

Exact to 1e-10 of a reward; what is optimal is proven by bounds computed from the data.
"""

import time
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from stageroute._core import best_live_set
from stageroute.deployment.live_sets import LiveSets
from stageroute.deployment.problem import Problem

if TYPE_CHECKING:
    from stageroute._core import CoreSets

__all__ = ["NativeMip"]

Arms = NDArray[np.intp]


class NativeMip:
    """The native search, with what time it may still take over all its runs.

    Parameters
    ----------
    time_limit : float or None
        Seconds.
    """

    name: Final = "native"

    def __init__(self, time_limit: float | None) -> None:
        self._end = None if time_limit is None else time.monotonic() + time_limit

    def best(self, problem: Problem) -> Arms | None:
        """Choose the allowed set of the highest reward; None when none meets budget and caps.

        Raises
        ------
        SolverError
            If the search was ended without a proven optimum.
        """
        return self._search(problem, "reward")

    def cheapest(self, problem: Problem) -> Arms | None:
        """Choose the allowed set of the lowest spend; None when the caps of none suffice."""
        return self._search(problem, "thrift")

    def largest(self, problem: Problem) -> Arms | None:
        """Choose the allowed set of the largest caps; None when no set is allowed."""
        return self._search(problem, "caps")

    def allows_any(self, sets: LiveSets) -> bool:
        """Whether there is a set that may be live, whatever it costs and can take."""
        zeros, ones = np.zeros(sets.size), np.ones(sets.size)
        return self.largest(Problem(zeros, zeros, ones, zeros, zeros, 0.0, 0.0, sets)) is not None

    def _search(self, problem: Problem, goal: str) -> Arms | None:
        left = None if self._end is None else max(self._end - time.monotonic(), 0.0)
        found = best_live_set(
            problem.reward,
            problem.cost,
            problem.cap,
            problem.budget,
            problem.start,
            _core_sets(problem.sets),
            goal,
            left,
        )
        return None if found is None else np.array(found, dtype=np.intp)


def _core_sets(sets: LiveSets) -> "CoreSets":
    """Tell the limit on the number of arms from the others."""
    counts = [bool(np.all(limit.use == 1.0)) for limit in sets.limits]
    slots = [limit.most for limit, is_count in zip(sets.limits, counts, strict=True) if is_count]
    others = [limit for limit, is_count in zip(sets.limits, counts, strict=True) if not is_count]
    return {
        "max_deployed": int(min([*slots, sets.size])),
        "most": np.array([limit.most for limit in others]),
        "uses": np.concatenate([np.zeros(0), *(limit.use for limit in others)]),
        "pinned": sets.pinned,
        "forbidden": sets.forbidden,
        "provider": sets.provider.tolist(),
        "min_providers": sets.min_providers,
    }
