"""Every policy by name: ours, the baselines, and other routers, which are imported when made."""

from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from stageroute.errors import InvalidInputError
from stageroute.policies.base import Policy, Setting
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

__all__ = ["CONTEXTUAL", "POLICIES", "RIVALS", "make_policy"]

Maker = Callable[[Setting], Policy]


def _rival(path: str, **options: Any) -> Maker:
    """Make a policy of a class of the rivals' package, which is imported when it is needed."""

    def make(setting: Setting) -> Policy:
        module, _, name = path.partition(":")
        policy = getattr(import_module(f"stageroute.policies.rivals.{module}"), name)
        made: Policy = policy(setting, **options)
        return made

    return make


POLICIES: Final = MappingProxyType[str, Maker](
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

CONTEXTUAL: Final = MappingProxyType[str, Maker](
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


RIVALS: Final = MappingProxyType[str, Maker](
    {
        "paretobandit": _rival("paretobandit_policy:ParetoBanditPolicy", knows_task=False),
        "paretobandit-tasks": _rival("paretobandit_policy:ParetoBanditPolicy", knows_task=True),
        "mabwiser-ucb1": _rival("mabwiser:MabwiserPolicy", algorithm="ucb1"),
        "mabwiser-thompson": _rival("mabwiser:MabwiserPolicy", algorithm="thompson"),
        "mabwiser-linucb": _rival("mabwiser:MabwiserPolicy", algorithm="linucb"),
        "mabwiser-ucb1-affordable": _rival(
            "mabwiser:MabwiserPolicy", algorithm="ucb1", affordable_only=True
        ),
        "mabwiser-thompson-affordable": _rival(
            "mabwiser:MabwiserPolicy", algorithm="thompson", affordable_only=True
        ),
        "mabwiser-linucb-affordable": _rival(
            "mabwiser:MabwiserPolicy", algorithm="linucb", affordable_only=True
        ),
        "litellm-shuffle": _rival("litellm:LitellmPolicy", strategy="shuffle"),
        "litellm-cost": _rival("litellm:LitellmPolicy", strategy="cost"),
        "litellm-usage": _rival("litellm:LitellmPolicy", strategy="usage"),
    }
)
"""How each rival is made, by name. Its package must be installed: ``stageroute[rivals]``."""


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
