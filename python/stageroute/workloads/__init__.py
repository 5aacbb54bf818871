"""Workloads: what policies are compared on, each a recipe for streams."""

from stageroute.workloads.adversarial import Adversarial
from stageroute.workloads.arrivals import BetterNewcomer, Clocked, RandomArrivals
from stageroute.workloads.base import Workload
from stageroute.workloads.changes import (
    Change,
    Changing,
    Outage,
    PriceCut,
    SilentRegression,
    SlowDecline,
)
from stageroute.workloads.feedback import Delayed, Noisy, Repeated, Sparse
from stageroute.workloads.held_out import HalfAtStart, OtherPrices
from stageroute.workloads.needle import NeedleArrivals, cube_root_stages
from stageroute.workloads.registry import parse_workload, workload_from_json
from stageroute.workloads.sota import LargePool, StateOfTheArt
from stageroute.workloads.tables import BuiltIn, TableFile

__all__ = [
    "Adversarial",
    "BetterNewcomer",
    "BuiltIn",
    "Change",
    "Changing",
    "Clocked",
    "Delayed",
    "HalfAtStart",
    "LargePool",
    "NeedleArrivals",
    "Noisy",
    "OtherPrices",
    "Outage",
    "PriceCut",
    "RandomArrivals",
    "Repeated",
    "SilentRegression",
    "SlowDecline",
    "Sparse",
    "StateOfTheArt",
    "TableFile",
    "Workload",
    "cube_root_stages",
    "parse_workload",
    "workload_from_json",
]
