"""Every workload and change by its kind, and how each is rebuilt from plain values."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from stageroute.errors import InvalidInputError
from stageroute.workloads.arrivals import RandomArrivals
from stageroute.workloads.base import Workload
from stageroute.workloads.needle import NeedleArrivals
from stageroute.workloads.sota import LargePool, StateOfTheArt
from stageroute.workloads.tables import BuiltIn, TableFile

__all__ = ["KINDS", "workload_from_json"]

KINDS: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        cls.kind: cls
        for cls in (
            BuiltIn,
            TableFile,
            StateOfTheArt,
            LargePool,
            NeedleArrivals,
            RandomArrivals,
        )
    }
)
"""The class of each kind."""


def workload_from_json(values: Mapping[str, Any]) -> Workload:
    """Rebuild a workload from what `dataclasses.asdict` gave, JSON in between or not.

    Raises
    ------
    InvalidInputError
        If the kind is unknown, a value is missing, too much, or breaks its rule.
    """
    workload = _rebuilt(values)
    if not isinstance(workload, Workload):
        raise InvalidInputError(f"{values!r} describes no workload; its kind must be of one")
    return workload


def _rebuilt(value: Any) -> Any:
    if isinstance(value, Mapping):
        rest = {name: _rebuilt(part) for name, part in value.items()}
        kind = rest.pop("kind", None)
        if kind not in KINDS:
            raise InvalidInputError(f"kind = {kind!r}: must be one of {', '.join(KINDS)}")
        try:
            return KINDS[kind](**rest)
        except TypeError as error:
            raise InvalidInputError(f"a workload of kind {kind!r}: {error}") from None
    if isinstance(value, list | tuple):
        return tuple(_rebuilt(part) for part in value)
    return value
