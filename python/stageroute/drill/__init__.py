"""A rehearsal of production: real arrivals through a router with everything switched on."""

from stageroute.datasets.trace import Trace, read_trace, synthetic_trace
from stageroute.drill.environment import Environment
from stageroute.drill.results import DrillResult, DrillSettings
from stageroute.drill.simulation import run_drill

__all__ = [
    "DrillResult",
    "DrillSettings",
    "Environment",
    "Trace",
    "read_trace",
    "run_drill",
    "synthetic_trace",
]
