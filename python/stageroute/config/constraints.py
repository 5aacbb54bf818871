"""What an operator asks of the live set beside the paper's constraints, by arm index."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from stageroute.checks import check_fields, is_whole, number_in, require, whole_in
from stageroute.errors import InvalidInputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class DeploymentConstraints:
    """Constraints of one deployment problem over N arms; by default there are none.

    `Fleet` says the same by the models' names.

    Parameters
    ----------
    start_cost : ndarray, shape (N,), optional
        What it costs to make an arm live that is not live now, spread over the queries of the
        stage: USD per query, finite and not negative. It counts against the budget.
    start_capacity : float, optional
        What starting arms may cost together, in the unit of `start_cost`, not negative: what hard
        limits on money leave for it.
    memory : ndarray, shape (N,), optional
        What an arm uses of `memory_capacity`, finite and not negative, in its unit. Needed with
        `memory_capacity`, meaningless without.
    memory_capacity : float, optional
        How much memory the live arms may use together, finite and above 0.
    pinned, forbidden : tuple of int, default ()
        Arms that must be live, and arms that must not.
    provider : tuple of hashable, length N, optional
        The provider of each arm. Needed with `min_providers` above 1.
    min_providers : int, default 1
        How many different providers the live arms must have at least.
    groups : tuple of tuples of int, default ()
        Of each group at most one arm can be live.
    max_changes : int, optional
        How many arms can be made live that are not live now; not negative. Where nothing is live
        now, any number can.
    names : tuple of str, length N, optional
        How messages name the arms, each differently; by default their indices.
    group_names : tuple of str, optional
        How messages name the groups, each differently; by default their indices.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    start_cost: Floats | None = None
    start_capacity: Annotated[float | None, number_in("[0, inf)")] = None
    memory: Floats | None = None
    memory_capacity: Annotated[float | None, number_in("(0, inf)")] = None
    pinned: tuple[int, ...] = ()
    forbidden: tuple[int, ...] = ()
    provider: tuple[Hashable, ...] | None = None
    min_providers: Annotated[int, whole_in("[1, inf)")] = 1
    groups: tuple[tuple[int, ...], ...] = ()
    max_changes: Annotated[int | None, whole_in("[0, inf)")] = None
    names: tuple[str, ...] | None = None
    group_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        for field in ("start_cost", "memory"):
            object.__setattr__(self, field, _quantities(getattr(self, field), field))
        for field in ("pinned", "forbidden"):
            object.__setattr__(self, field, _arms(getattr(self, field), field))
        groups = tuple(_arms(group, "groups") for group in self.groups)
        object.__setattr__(self, "groups", groups)
        ok = (self.memory is None) == (self.memory_capacity is None)
        rule = "goes with memory: give both, or neither"
        require(ok, "memory_capacity", self.memory_capacity, rule)
        ok = self.min_providers == 1 or self.provider is not None
        rule = "needs to know each arm's provider: give provider"
        require(ok, "min_providers", self.min_providers, rule)
        for field in ("names", "group_names"):
            names = getattr(self, field)
            ok = names is None or len(set(names)) == len(names)
            require(ok, field, names, "must be different from each other")

    @property
    def asks_anything(self) -> bool:
        """Whether there is any constraint or start cost."""
        return bool(
            (self.start_cost is not None and self.start_cost.any())
            or self.memory is not None
            or self.pinned
            or self.forbidden
            or self.min_providers > 1
            or self.groups
            or self.max_changes is not None
        )

    def start_costs(self, size: int, previous: Sequence[int] | None) -> Floats:
        """Return what making each of `size` arms live costs, USD per query: 0 where it is live."""
        cost = np.zeros(size) if self.start_cost is None else self.start_cost.copy()
        cost[existing_arms(previous, size)] = 0.0
        return cost

    def check_size(self, size: int) -> None:
        """Raise `InvalidInputError` unless every field suits a problem over `size` arms."""
        lengths = dict.fromkeys(("start_cost", "memory", "provider", "names"), size)
        for field, length in (lengths | {"group_names": len(self.groups)}).items():
            values = getattr(self, field)
            if values is not None and len(values) != length:
                raise InvalidInputError(
                    f"constraints.{field} has {len(values)} elements; it must have {length}"
                )
        for field in ("pinned", "forbidden", "groups"):
            arms = getattr(self, field)
            for arm in chain(*arms) if field == "groups" else arms:
                rule = f"there is no such arm; there are {size}, counted from 0"
                require(arm < size, f"constraints.{field}", arm, rule)


def _quantities(values: Any, field: str) -> Floats | None:
    if values is None:
        return None
    array = np.array(values, dtype=np.float64)
    require(array.ndim == 1, field, values, "must have one dimension")
    for arm, value in enumerate(array):
        rule = "must be finite and not negative"
        require(bool(np.isfinite(value)) and value >= 0, f"{field}[{arm}]", float(value), rule)
    array.setflags(write=False)
    return array


def _arms(values: Iterable[Any], field: str) -> tuple[int, ...]:
    arms = tuple(values)
    for arm in arms:
        rule = "must be the index of an arm, a whole number, not negative"
        require(is_whole(arm) and arm >= 0, field, arm, rule)
    return tuple(int(arm) for arm in arms)


def existing_arms(arms: Iterable[int] | None, size: int) -> NDArray[np.intp]:
    """Keep the indices of arms that exist, each once."""
    existing = [] if arms is None else [arm for arm in arms if 0 <= arm < size]
    return np.unique(np.array(existing, dtype=np.intp))
