"""Which live sets an operator's constraints allow, and which constraint decided what."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from stageroute.config.constraints import DeploymentConstraints, existing_arms
from stageroute.deployment.live_sets import Limit, LiveSets

__all__ = ["live_sets", "reasons"]

Floats = NDArray[np.float64]


def live_sets(
    constraints: DeploymentConstraints, size: int, previous: Sequence[int] | None, max_deployed: int
) -> LiveSets:
    """Which sets of at most `max_deployed` of `size` arms satisfy the constraints.

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
    name = f"max_deployed = {max_deployed}"
    limits.append(Limit(name, "raise max_deployed", np.ones(size), float(max_deployed)))
    provider = np.zeros(size, dtype=np.intp)
    if constraints.provider is not None:
        numbers = {key: number for number, key in enumerate(dict.fromkeys(constraints.provider))}
        provider = np.array([numbers[key] for key in constraints.provider], dtype=np.intp)
    return LiveSets(
        labels=constraints.names or tuple(str(arm) for arm in range(size)),
        limits=tuple(limits),
        pinned=_indicator(constraints.pinned, size) > 0,
        forbidden=_indicator(constraints.forbidden, size) > 0,
        provider=provider,
        min_providers=constraints.min_providers,
    )


def reasons(
    constraints: DeploymentConstraints,
    deployed: Iterable[int],
    size: int,
    previous: Sequence[int] | None,
    max_deployed: int,
) -> tuple[tuple[str, ...], ...]:
    """For each arm, the constraints that keep it live, or keep it from being live.

    Returns
    -------
    tuple of tuples of str
        For an arm in `deployed`: what would be broken if it alone were stopped. For another:
        what would be broken if it were started as well. Where that is nothing, the estimates
        or the budget decided.
    """
    sets = live_sets(constraints, size, previous, max_deployed)
    arms = np.array(sorted(deployed), dtype=np.intp)
    return tuple(sets.broken(np.setxor1d(arms, arm)) for arm in range(size))


def _indicator(arms: Iterable[int], size: int) -> Floats:
    indicator = np.zeros(size)
    indicator[list(arms)] = 1.0
    return indicator
