"""The router that a service calls: its models, stages, state and memory."""

from stageroute.config.journal import JournalSettings
from stageroute.router.router import StageRouter
from stageroute.router.state import Deployment, LimitState, ModelState, RouterCounters

__all__ = [
    "Deployment",
    "JournalSettings",
    "LimitState",
    "ModelState",
    "RouterCounters",
    "StageRouter",
]
