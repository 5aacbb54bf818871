"""An operator's constraints on the live set, by name: which decided what, and which conflict."""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stageroute._core import FACTS, solve_deployment
from stageroute.config.constraints import DeploymentConstraints, existing_arms
from stageroute.errors import DeploymentConflictError, SolverError

if TYPE_CHECKING:
    from stageroute._core import CoreConstraints

__all__ = ["Limit", "NamedConstraints", "find_conflict", "name_constraints", "reasons"]

Floats = NDArray[np.float64]
Arms = NDArray[np.intp]
Mask = NDArray[np.bool_]


class Limit(NamedTuple):
    """What the live arms may use up together: Σ use of the live arms <= most."""

    name: str
    remedy: str
    use: Floats
    most: float


@dataclass(frozen=True, eq=False, slots=True)
class NamedConstraints:
    """Which sets of arms may be live, with a name for every constraint.

    Attributes
    ----------
    labels : tuple of str
        How messages name the arms.
    limits : tuple of Limit
        All but that on the number of live arms.
    max_deployed : int or None
        How many arms can be live at once; None for any number.
    pinned, forbidden : ndarray of bool, shape (N,)
        Arms that are in every set, and in none.
    provider : ndarray of int, shape (N,)
        Number of each arm's provider, counted from 0.
    min_providers : int
        How many different providers a set must have; 1 asks for nothing.
    start : ndarray, shape (N,)
        What starting each arm costs, USD per query.
    """

    labels: tuple[str, ...]
    limits: tuple[Limit, ...]
    max_deployed: int | None
    pinned: Mask
    forbidden: Mask
    provider: Arms
    min_providers: int
    start: Floats

    @property
    def size(self) -> int:
        """How many arms there are."""
        return len(self.labels)

    def for_core(self) -> "CoreConstraints":
        """Leave out the names, and the number of live arms, which goes apart."""
        return {
            "start": self.start,
            "most": np.array([limit.most for limit in self.limits], dtype=np.float64),
            "uses": np.concatenate([np.zeros(0), *(limit.use for limit in self.limits)]),
            "pinned": self.pinned,
            "forbidden": self.forbidden,
            "provider": self.provider.tolist(),
            "min_providers": self.min_providers,
        }

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
        remedies |= {limit.name: limit.remedy for limit in self.limits}
        if self.max_deployed is not None:
            remedies[self._slots_name()] = "raise max_deployed"
        return remedies

    def only(self, names: Collection[str]) -> "NamedConstraints":
        """Keep the constraints of these names, and no others."""
        pinned, forbidden = self.pinned.copy(), self.forbidden.copy()
        for arm in np.flatnonzero(pinned):
            pinned[arm] = self._pinned_name(arm) in names
        for arm in np.flatnonzero(forbidden):
            forbidden[arm] = self._forbidden_name(arm) in names
        return replace(
            self,
            limits=tuple(limit for limit in self.limits if limit.name in names),
            max_deployed=self.max_deployed if self._slots_name() in names else None,
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
            if float(limit.use[live].sum()) > limit.most + FACTS["limit_tolerance"]
        ]
        if self.max_deployed is not None and arms.size > self.max_deployed:
            names.append(self._slots_name())
        return tuple(names)

    def _pinned_name(self, arm: np.intp) -> str:
        return f"pinned {self.labels[arm]}"

    def _forbidden_name(self, arm: np.intp) -> str:
        return f"forbidden {self.labels[arm]}"

    def _providers_name(self) -> str:
        return f"min_providers = {self.min_providers}"

    def _slots_name(self) -> str:
        return f"max_deployed = {self.max_deployed}"


def name_constraints(
    constraints: DeploymentConstraints,
    size: int,
    previous: Sequence[int] | None,
    max_deployed: int | None,
) -> NamedConstraints:
    """Name the constraints of a problem over `size` arms.

    Raises
    ------
    InvalidInputError
        If an array has another length than `size`, or there is no arm of an index.
    """
    constraints.check_size(size)
    limits = [
        Limit(f"group {name}", f"split group {name}", _indicator(group, size), 1.0)
        for name, group in zip(constraints.labels_of_groups(), constraints.groups, strict=True)
    ]
    if constraints.memory is not None and constraints.memory_capacity is not None:
        name = f"memory_gb = {constraints.memory_capacity:.12g}"
        use = constraints.memory / constraints.memory_capacity
        limits.append(Limit(name, "raise memory_gb", use, 1.0))
    live = existing_arms(previous, size)
    if constraints.max_changes is not None and live.size:
        name = f"max_changes = {constraints.max_changes}"
        use = 1.0 - _indicator(live, size)
        limits.append(Limit(name, "raise max_changes", use, float(constraints.max_changes)))
    provider = np.zeros(size, dtype=np.intp)
    if constraints.provider is not None:
        numbers = {key: number for number, key in enumerate(dict.fromkeys(constraints.provider))}
        provider = np.array([numbers[key] for key in constraints.provider], dtype=np.intp)
    return NamedConstraints(
        labels=constraints.names or tuple(str(arm) for arm in range(size)),
        limits=tuple(limits),
        max_deployed=max_deployed,
        pinned=_indicator(constraints.pinned, size) > 0,
        forbidden=_indicator(constraints.forbidden, size) > 0,
        provider=provider,
        min_providers=constraints.min_providers,
        start=constraints.start_costs(size, previous),
    )


def reasons(
    constraints: DeploymentConstraints,
    deployed: Iterable[int],
    size: int,
    previous: Sequence[int] | None,
) -> tuple[tuple[str, ...], ...]:
    """For each arm, the constraints that keep it live, or keep it from being live.

    Returns
    -------
    tuple of tuples of str
        For an arm in `deployed`: what would be broken if it alone were stopped. For another:
        what would be broken if it were started as well. Where that is nothing, the estimates
        or the budget decided.
    """
    named = name_constraints(constraints, size, previous, None)
    arms = np.array(sorted(deployed), dtype=np.intp)
    return tuple(named.broken(np.setxor1d(arms, arm)) for arm in range(size))


def find_conflict(named: NamedConstraints, time_limit: float | None) -> DeploymentConflictError:
    """Name constraints that together allow no set, while any one less would: a deletion filter.

    Parameters
    ----------
    named : NamedConstraints
        Which allow no set, says the solver.
    time_limit : float or None
        Seconds that it may take.

    Raises
    ------
    SolverError
        If that is too little, or if some set is allowed.
    """
    end = None if time_limit is None else time.monotonic() + time_limit

    def allows_any(some: NamedConstraints) -> bool:
        # Arms that cost nothing and take all traffic.
        zeros, ones = np.zeros(some.size), np.ones(some.size)
        slots = some.size if some.max_deployed is None else some.max_deployed
        asked = replace(some, start=zeros).for_core()
        left = None if end is None else max(end - time.monotonic(), 0.0)
        answer = solve_deployment(zeros, zeros, ones, 0.0, slots, asked, 0.0, None, left)
        return answer is not None

    if allows_any(named):
        raise SolverError("the solver finds no live set although the constraints allow one")
    remedies = named.names()
    kept = list(remedies)
    for name in remedies:
        rest = [other for other in kept if other != name]
        if not allows_any(named.only(rest)):
            kept = rest
    remedy = ", or ".join(dict.fromkeys(remedies[name] for name in kept))
    return DeploymentConflictError(
        f"no set of models satisfies {' and '.join(kept)}; to resolve this conflict, {remedy}",
        tuple(kept),
    )


def _indicator(arms: Iterable[int], size: int) -> Floats:
    indicator = np.zeros(size)
    indicator[list(arms)] = 1.0
    return indicator
