"""Off-policy evaluation: what another policy would have earned and spent, from a decision log.

The decision log has the probability of every live model; outcomes come later, by decision id. From
both, `evaluate` estimates reward and cost per query of a fixed mixture, of the best mixture under a
budget, or of any policy, with intervals and with what limits their worth. ``stageroute evaluate``
does so from files.

There are libraries for this (Open Bandit Pipeline, SCOPE-RL), but they need scikit-learn and
PyTorch, take decisions as independent of the past, and value what a log could not have chosen at 0.
"""

from stageroute.off_policy.data import LoggedData, Outcome
from stageroute.off_policy.evaluation import Estimate, Evaluation, MetricEvaluation, evaluate
from stageroute.off_policy.files import JoinedLog, read_log
from stageroute.off_policy.targets import Target, as_target, best_mixture

__all__ = [
    "Estimate",
    "Evaluation",
    "JoinedLog",
    "LoggedData",
    "MetricEvaluation",
    "Outcome",
    "Target",
    "as_target",
    "best_mixture",
    "evaluate",
    "read_log",
]
