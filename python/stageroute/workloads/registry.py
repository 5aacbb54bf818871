"""Every workload and change by its kind, and how each is rebuilt from plain values."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from stageroute.errors import InvalidInputError
from stageroute.workloads.adversarial import Adversarial
from stageroute.workloads.arrivals import RandomArrivals
from stageroute.workloads.base import OnTop, Workload
from stageroute.workloads.changes import CHANGES, Change
from stageroute.workloads.changing import Changing
from stageroute.workloads.clock import Clocked
from stageroute.workloads.feedback import Delayed, Noisy, Repeated, Sparse
from stageroute.workloads.needle import NeedleArrivals
from stageroute.workloads.newcomer import BetterNewcomer
from stageroute.workloads.sota import LargePool, StateOfTheArt
from stageroute.workloads.tables import BuiltIn, TableFile

__all__ = ["BASES", "CHANGE_KINDS", "ON_TOP", "workload_from_json"]


def _by_kind(*classes: type[Any]) -> Mapping[str, type[Any]]:
    return MappingProxyType({cls.kind: cls for cls in classes})


BASES: Final[Mapping[str, type[Workload]]] = _by_kind(
    BuiltIn, TableFile, StateOfTheArt, LargePool, NeedleArrivals
)
"""Workloads of their own, by kind."""

ON_TOP: Final[Mapping[str, type[OnTop]]] = _by_kind(
    Changing, Adversarial, BetterNewcomer, Clocked, Noisy, Delayed, Sparse, Repeated, RandomArrivals
)
"""Workloads on top of another, by kind."""

CHANGE_KINDS: Final[Mapping[str, type[Change]]] = _by_kind(*CHANGES)
"""What can change, by kind."""

_ALL: Final = {**BASES, **ON_TOP, **CHANGE_KINDS}


def workload_from_json(values: Mapping[str, Any]) -> Workload:
    """Rebuild a workload from what `dataclasses.asdict` gave, JSON in between or not.

    Raises
    ------
    InvalidInputError
        If a kind is unknown, a value is missing, too much, or breaks its rule.
    """
    workload = _rebuilt(values)
    if not isinstance(workload, Workload):
        raise InvalidInputError(f"{values!r} describes no workload; it must be of a kind that is")
    return workload


def _rebuilt(value: Any) -> Any:
    if isinstance(value, Mapping):
        rest = {name: _rebuilt(part) for name, part in value.items()}
        kind = rest.pop("kind", None)
        if kind not in _ALL:
            raise InvalidInputError(f"kind = {kind!r}: must be one of {', '.join(_ALL)}")
        try:
            return _ALL[kind](**rest)
        except TypeError as error:
            raise InvalidInputError(f"a workload of kind {kind!r}: {error}") from None
    if isinstance(value, list | tuple):
        return tuple(_rebuilt(part) for part in value)
    return value
