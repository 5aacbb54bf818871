"""Workloads: what policies are compared on, each a recipe for streams ([docs/workloads.md])."""

from dataclasses import asdict
from typing import Any

from stageroute.errors import InvalidInputError
from stageroute.workloads.arrivals import RandomArrivals
from stageroute.workloads.base import Workload
from stageroute.workloads.needle import NeedleArrivals, cube_root_stages
from stageroute.workloads.parsing import parse_workload
from stageroute.workloads.registry import workload_from_json
from stageroute.workloads.sota import LargePool, StateOfTheArt
from stageroute.workloads.tables import BuiltIn, TableFile

__all__ = [
    "BuiltIn",
    "LargePool",
    "NeedleArrivals",
    "RandomArrivals",
    "StateOfTheArt",
    "TableFile",
    "Workload",
    "cube_root_stages",
    "parse_workload",
    "workload_from_json",
    "workload_to_json",
]


def workload_to_json(workload: Workload) -> dict[str, Any]:
    """Return a workload as plain values; `workload_from_json` rebuilds it."""
    return asdict(workload)


def parse_workload(text: str) -> Workload:
    """Return the workload that a command line names."""
    kind, _, path = text.partition(":")
    if kind == "file" and path:
        return TableFile(path)
    if kind in ("builtin", "needle") and not path:
        return BuiltIn() if kind == "builtin" else NeedleArrivals()
    raise InvalidInputError(f"workload {text!r}: must be 'builtin', 'needle' or 'file:PATH'")
