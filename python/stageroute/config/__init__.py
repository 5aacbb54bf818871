"""What a user says: models, prices, bounds, settings, fleet, journal; checked and frozen."""

from stageroute.config.confidence import CONFIDENCE_FAMILIES, Confidence
from stageroute.config.constraints import DeploymentConstraints
from stageroute.config.fleet import Fleet
from stageroute.config.journal import JournalSettings
from stageroute.config.models import Model, Price, Tokens
from stageroute.config.router import SOLVERS, RouterSettings
from stageroute.config.settings import ChangeTest, Drift, FailureEffect, HardLimit, Health

__all__ = [
    "CONFIDENCE_FAMILIES",
    "SOLVERS",
    "ChangeTest",
    "Confidence",
    "DeploymentConstraints",
    "Drift",
    "FailureEffect",
    "Fleet",
    "HardLimit",
    "Health",
    "JournalSettings",
    "Model",
    "Price",
    "RouterSettings",
    "Tokens",
]
