"""A rehearsal of production: real arrivals through a router with everything switched on."""

from stageroute.drill.environment import Environment
from stageroute.drill.settings import DrillSettings, Outcome
from stageroute.drill.simulation import run_drill
from stageroute.drill.trace import Trace, read_trace, synthetic_trace

__all__ = [
    "DrillSettings",
    "Environment",
    "Outcome",
    "Trace",
    "read_trace",
    "run_drill",
    "synthetic_trace",
]
