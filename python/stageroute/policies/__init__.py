"""Policies behind one interface: who is live during a stage, and who serves each query.

A policy deploys in Python, once a stage, and routes in a native kernel, so that a whole stage is
replayed in one call. Every policy sees the same stream and the same limits; a comparison differs
in the policy alone.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from stageroute.errors import InvalidInputError
from stageroute.policies.base import Limits, Policy, Setting
from stageroute.policies.context_oracles import (
    FamilyOraclePolicy,
    OwnBudgetFamilyOraclePolicy,
    TaskOraclePolicy,
)
from stageroute.policies.contextual import (
    FamilyPolicy,
    LinearPolicy,
    OwnBudgetFamilyPolicy,
    OwnBudgetLinearPolicy,
    OwnBudgetTaskPolicy,
    TaskPolicy,
)
from stageroute.policies.indices import (
    EpsilonGreedyPolicy,
    KlUcbPolicy,
    ThompsonPolicy,
    Ucb1Policy,
)
from stageroute.policies.knapsacks import AgrawalDevanurPolicy, PrimalDualBwkPolicy
from stageroute.policies.linucb import LinUcbPolicy, TaskLinUcbPolicy
from stageroute.policies.oracles import ClairvoyantPolicy, StageOraclePolicy, StaticPolicy
from stageroute.policies.paper import GreedyPolicy, UniformPolicy
from stageroute.policies.priors import RewardPrior
from stageroute.policies.stageroute import (
    HoeffdingStageRoutePolicy,
    KlStageRoutePolicy,
    PaperStageRoutePolicy,
    PublishedStageRoutePolicy,
    ShortlistStageRoutePolicy,
    StageRoutePolicy,
    StartBlindStageRoutePolicy,
    TheoryStageRoutePolicy,
)
from stageroute.rivals import RIVALS

__all__ = [
    "CONTEXTUAL",
    "POLICIES",
    "RIVALS",
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
    "make_policy",
]

POLICIES: Final = MappingProxyType[str, Callable[[Setting], Policy]](
    {
        "stageroute": StageRoutePolicy,
        "stageroute-paper": PaperStageRoutePolicy,
        "stageroute-kl": KlStageRoutePolicy,
        "stageroute-hoeffding": HoeffdingStageRoutePolicy,
        "stageroute-published": PublishedStageRoutePolicy,
        "stageroute-theory": TheoryStageRoutePolicy,
        "stageroute-shortlist": ShortlistStageRoutePolicy,
        "stageroute-start-blind": StartBlindStageRoutePolicy,
        "ucb1": Ucb1Policy,
        "kl-ucb": KlUcbPolicy,
        "thompson": ThompsonPolicy,
        "epsilon-greedy": EpsilonGreedyPolicy,
        "bwk": PrimalDualBwkPolicy,
        "bwk-agrawal-devanur": AgrawalDevanurPolicy,
        "linucb": LinUcbPolicy,
        "linucb-task": TaskLinUcbPolicy,
        "greedy": GreedyPolicy,
        "uniform": UniformPolicy,
        "static": StaticPolicy,
        "oracle": StageOraclePolicy,
        "clairvoyant": ClairvoyantPolicy,
    }
)
"""How each policy is made, by name."""

CONTEXTUAL: Final = MappingProxyType[str, Callable[[Setting], Policy]](
    {
        policy.name: policy
        for policy in (
            FamilyPolicy,
            TaskPolicy,
            LinearPolicy,
            OwnBudgetFamilyPolicy,
            OwnBudgetTaskPolicy,
            OwnBudgetLinearPolicy,
            FamilyOraclePolicy,
            OwnBudgetFamilyOraclePolicy,
            TaskOraclePolicy,
        )
    }
)
"""Policies that see more of a query than the others, and need a table that shows it."""


def make_policy(name: str, setting: Setting) -> Policy:
    """Make the policy `name` of `POLICIES`, `CONTEXTUAL` or `RIVALS`.

    Raises
    ------
    InvalidInputError
        If there is no policy of that name.
    MissingExtraError
        If it is a rival whose package is not installed.
    """
    makers = {**POLICIES, **CONTEXTUAL, **RIVALS}
    if name not in makers:
        raise InvalidInputError(f"policy = {name!r}: must be one of {', '.join(makers)}")
    return makers[name](setting)
