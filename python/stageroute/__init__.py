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
    IS_UNOPTIMISED,
    Decision,
    FeedbackBatch,
    RoutingSolution,
    __version__,
    solve_routing_lp,
)
from stageroute.config.confidence import Confidence
from stageroute.config.constraints import DeploymentConstraints
from stageroute.config.fleet import Fleet
from stageroute.config.journal import JournalSettings
from stageroute.config.models import Model
from stageroute.config.price_list import models_from_litellm
from stageroute.config.prices import Price, Tokens
from stageroute.config.settings import ChangeTest, Drift, FailureEffect, HardLimit, Health
from stageroute.decision_log import (
    DecisionBatch,
    DecisionLog,
    JsonLinesSink,
    LoggedDecision,
    ParquetSink,
)
from stageroute.deployment.plan import StagePlan
from stageroute.deployment.solve import DeploymentSolution, solve_deployment
from stageroute.router.events import Event
from stageroute.router.router import StageRouter
from stageroute.router.state import Deployment, LimitState, ModelState, Recovery, RouterCounters

__all__ = [
    "ChangeTest",
    "Confidence",
    "Decision",
    "DecisionBatch",
    "DecisionLog",
    "Deployment",
    "DeploymentConstraints",
    "DeploymentSolution",
    "Drift",
    "Event",
    "FailureEffect",
    "FeedbackBatch",
    "Fleet",
    "HardLimit",
    "Health",
    "JournalSettings",
    "JsonLinesSink",
    "LimitState",
    "LoggedDecision",
    "Model",
    "ModelState",
    "ParquetSink",
    "Price",
    "Recovery",
    "RouterCounters",
    "RoutingSolution",
    "StagePlan",
    "StageRouter",
    "Tokens",
    "__version__",
    "errors",
    "models_from_litellm",
    "solve_deployment",
    "solve_routing_lp",
]

if IS_UNOPTIMISED:
    warnings.warn(
        "stageroute was built without optimisation and is many times slower than it should be; "
        "build it with: maturin develop --release",
        RuntimeWarning,
        stacklevel=2,
    )
