"""Workloads: what policies are compared on, each a recipe for streams ([docs/workloads.md])."""

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
]
