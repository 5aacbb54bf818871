"""Which sets of arms may be live at once: limits, demands, their names, and conflicts among them.

Limits (memory, groups, changes, slots, forbidden arms) can only be broken by adding an arm; demands
(pinned arms, providers) only by leaving one out. Everything here is about sets alone: money and
throughput caps are the mixture's business.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stageroute.errors import SolverError

__all__ = ["Limit", "LiveSets", "minimal_conflict"]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]
Mask = NDArray[np.bool_]

TOLERANCE: Final = 1e-9
"""By how much a limit may be exceeded: rounding of sums. Relative, since memory is counted in
units of its limit; the other limits are whole numbers."""


class Limit(NamedTuple):
    """What the live arms may use up together: Σ use of the live arms <= most."""

    name: str
    remedy: str
    use: Floats
    most: float


@dataclass(frozen=True, eq=False, slots=True)
class LiveSets:
    """The sets of arms that may be live, which are never empty.

    Attributes
    ----------
    labels : tuple of str
        How messages name the arms.
    limits : tuple of Limit
        At least `max_deployed`.
    pinned, forbidden : ndarray of bool, shape (N,)
        Arms that are in every set, and in none.
    provider : ndarray of int, shape (N,)
        Number of each arm's provider, counted from 0.
    min_providers : int
        How many different providers a set must have; 1 asks for nothing.
    """

    labels: tuple[str, ...]
    limits: tuple[Limit, ...]
    pinned: Mask
    forbidden: Mask
    provider: Arms
    min_providers: int

    @property
    def size(self) -> int:
        """How many arms there are."""
        return len(self.labels)

    def names(self) -> dict[str, str]:
        """Name of every constraint, and what relaxes it."""
        remedies = {
            self._pinned_name(arm): f"unpin {self.labels[arm]}"
            for arm in np.flatnonzero(self.pinned)
        }
        for arm in np.flatnonzero(self.forbidden):
            remedies[self._forbidden_name(arm)] = f"allow {self.labels[arm]}"
        if self.min_providers > 1:
            remedies[self._providers_name()] = "lower min_providers"
        return remedies | {limit.name: limit.remedy for limit in self.limits}

    def only(self, names: Collection[str]) -> "LiveSets":
        """Keep the constraints of these names, and no others."""
        pinned, forbidden = self.pinned.copy(), self.forbidden.copy()
        for arm in np.flatnonzero(pinned):
            pinned[arm] = self._pinned_name(arm) in names
        for arm in np.flatnonzero(forbidden):
            forbidden[arm] = self._forbidden_name(arm) in names
        return replace(
            self,
            limits=tuple(limit for limit in self.limits if limit.name in names),
            pinned=pinned,
            forbidden=forbidden,
            min_providers=self.min_providers if self._providers_name() in names else 1,
        )

    def broken(self, arms: Arms) -> tuple[str, ...]:
        """Names of the constraints that this set breaks."""
        live = np.zeros(self.size, dtype=np.bool_)
        live[arms] = True
        names = [self._pinned_name(arm) for arm in np.flatnonzero(self.pinned & ~live)]
        names += [self._forbidden_name(arm) for arm in np.flatnonzero(self.forbidden & live)]
        if np.unique(self.provider[arms]).size < self.min_providers and self.min_providers > 1:
            names.append(self._providers_name())
        names += [
            limit.name
            for limit in self.limits
            if float(limit.use[live].sum()) > limit.most + TOLERANCE
        ]
        return tuple(names)

    def allows(self, arms: Arms) -> bool:
        """Whether this set may be live."""
        return arms.size > 0 and not self.broken(arms)

    def cover(self, arms: Arms) -> tuple[Arms, int]:
        """Find arms of which only so many can be live, given a set that exceeds a limit.

        The fewest arms of the set that exceed it, and every arm that uses more than any of those:
        any as many of them exceed it too (an extended cover).
        """
        for limit in self.limits:
            largest_first = arms[np.argsort(-limit.use[arms], kind="stable")]
            exceeds = np.cumsum(limit.use[largest_first]) > limit.most + TOLERANCE
            if exceeds.any():
                fewest = largest_first[: int(np.argmax(exceeds)) + 1]
                larger = np.flatnonzero(limit.use >= limit.use[fewest].max())
                return np.union1d(fewest, larger), fewest.size - 1
        raise SolverError(f"HiGHS chose a set of arms that breaks {', '.join(self.broken(arms))}")

    def addable(self, arms: Arms) -> Mask:
        """Which arms could be added to this set."""
        mask = ~self.forbidden
        mask[arms] = False
        for limit in self.limits:
            mask &= float(limit.use[arms].sum()) + limit.use <= limit.most + TOLERANCE
        return mask

    def new_provider(self, arms: Arms) -> Mask:
        """Which arms would bring a provider that a set without enough of them lacks."""
        present = np.unique(self.provider[arms])
        if present.size >= self.min_providers:
            return np.ones(self.size, dtype=np.bool_)
        return ~np.isin(self.provider, present)

    def keeps_limits(self, arms: Arms, leaving: Arms, entering: Arms) -> Mask:
        """Whether the limits hold with one arm less and one more: rows leave, columns enter.

        An arm of -1 stands for none.
        """
        mask = np.ones((leaving.size, entering.size), dtype=np.bool_)
        for limit in self.limits:
            use = np.append(limit.use, 0.0)
            rest = use[arms].sum() - use[leaving]
            mask &= rest[:, None] + use[entering] <= limit.most + TOLERANCE
        mask[:, np.append(self.forbidden, False)[entering]] = False
        return mask

    def _pinned_name(self, arm: np.intp) -> str:
        return f"pinned {self.labels[arm]}"

    def _forbidden_name(self, arm: np.intp) -> str:
        return f"forbidden {self.labels[arm]}"

    def _providers_name(self) -> str:
        return f"min_providers = {self.min_providers}"


def minimal_conflict(
    sets: LiveSets, allows_any: Callable[[LiveSets], bool]
) -> tuple[tuple[str, ...], str]:
    """Constraints that together allow no set, while any one less would: a deletion filter.

    Parameters
    ----------
    sets : LiveSets
        Without a member.
    allows_any : callable
        Says whether any set is allowed.

    Returns
    -------
    names : tuple of str
        The conflicting constraints.
    remedy : str
        What relaxes any one of them.
    """
    remedies = sets.names()
    kept = list(remedies)
    for name in remedies:
        rest = [other for other in kept if other != name]
        if not allows_any(sets.only(rest)):
            kept = rest
    return tuple(kept), ", or ".join(dict.fromkeys(remedies[name] for name in kept))
