"""StageRoute: which LLMs to keep live, and which one serves each query.

Under hard limits on money, traffic and the number of live models, learning from feedback as it
comes. The method is Li & Li, *Near-Optimal Online Deployment and Routing for Streaming LLMs*
(ICLR 2026, arXiv 2506.17254).

Start with `StageRouter`; ``stageroute bench`` on the command line compares policies on a table of
outcomes.
"""

import warnings

from stageroute import errors
from stageroute._core import (
    IS_DEBUG_BUILD,
    Decision,
    RoutingSolution,
    __version__,
    solve_routing_lp,
)
from stageroute.deployment import DeploymentSolution, solve_deployment
from stageroute.models import Confidence, Model
from stageroute.router import StageRouter
from stageroute.router_state import Deployment, ModelState, RouterCounters

__all__ = [
    "Confidence",
    "Decision",
    "Deployment",
    "DeploymentSolution",
    "Model",
    "ModelState",
    "RouterCounters",
    "RoutingSolution",
    "StageRouter",
    "__version__",
    "errors",
    "solve_deployment",
    "solve_routing_lp",
]

if IS_DEBUG_BUILD:
    warnings.warn(
        "stageroute was built without optimisation and is many times slower than it should be; "
        "build it with: maturin develop --release",
        RuntimeWarning,
        stacklevel=2,
    )
