"""The live set of a stage: the deployment problem, its solvers, the plan that comes of it."""

from stageroute.deployment.plan import StagePlan
from stageroute.deployment.solve import DeploymentSolution, caps_suffice, solve_deployment

__all__ = ["DeploymentSolution", "StagePlan", "caps_suffice", "solve_deployment"]
