"""Workloads as the command line names them."""

from stageroute.errors import InvalidInputError
from stageroute.workloads.base import Workload
from stageroute.workloads.needle import NeedleArrivals
from stageroute.workloads.tables import BuiltIn, TableFile

__all__ = ["parse_workload"]


def parse_workload(text: str) -> Workload:
    """Return the workload that a command line names.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    kind, _, path = text.partition(":")
    if kind == "file" and path:
        return TableFile(path)
    if kind in ("builtin", "needle") and not path:
        return BuiltIn() if kind == "builtin" else NeedleArrivals()
    raise InvalidInputError(f"workload {text!r}: must be 'builtin', 'needle' or 'file:PATH'")
