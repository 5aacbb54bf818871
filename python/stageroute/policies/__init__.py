"""Policies behind one interface: which models are live, and which one serves each query.

A policy deploys in Python, once a stage, and routes in a native kernel, so that a whole stage is
replayed in one call. Every policy sees the same stream and the same limits; a comparison differs
in the policy alone.
"""

from stageroute.policies.base import Limits, Policy, Setting
from stageroute.policies.baselines.paper import GreedyPolicy, UniformPolicy
from stageroute.policies.check import check_policy
from stageroute.policies.oracles.stage import StageOraclePolicy
from stageroute.policies.ours.stageroute import (
    PublishedStageRoutePolicy,
    StageRoutePolicy,
    TheoryStageRoutePolicy,
)
from stageroute.policies.priors import RewardPrior
from stageroute.policies.registry import CONTEXTUAL, POLICIES, RIVALS, find_policy, make_policy
from stageroute.policies.rules import RULES

__all__ = [
    "CONTEXTUAL",
    "POLICIES",
    "RIVALS",
    "RULES",
    "GreedyPolicy",
    "Limits",
    "Policy",
    "PublishedStageRoutePolicy",
    "RewardPrior",
    "Setting",
    "StageOraclePolicy",
    "StageRoutePolicy",
    "TheoryStageRoutePolicy",
    "UniformPolicy",
    "check_policy",
    "find_policy",
    "make_policy",
]
