"""Every policy by name: ours, the baselines, and other routers, which are imported when made."""

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final, TypeGuard

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

__all__ = ["CONTEXTUAL", "POLICIES", "RIVALS", "find_policy", "make_policy"]

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


def find_policy(name: str) -> Maker:
    """Return what makes a policy, without making it.

    Parameters
    ----------
    name : str
        One of `POLICIES`, `CONTEXTUAL` or `RIVALS`; or ``"module:Class"``, a policy of your own: a
        class of an importable module that is made from a `Setting`.

    Raises
    ------
    InvalidInputError
        If there is no policy of that name, or no such module or class; or if the class is not a
        `Policy`, or lacks one of its methods.
    """
    if ":" in name:
        return _load(name)
    makers = {**POLICIES, **CONTEXTUAL, **RIVALS}
    if name not in makers:
        near = get_close_matches(name, makers, n=1)
        hint = f"did you mean {near[0]!r}? It " if near else ""
        raise InvalidInputError(
            f"policy = {name!r}: {hint}must be one of {', '.join(makers)}; "
            "or module:Class for a policy of your own"
        )
    return makers[name]


def _load(path: str) -> Maker:
    """Import the policy ``module:Class``."""
    name, _, attribute = path.partition(":")
    refuse = f"policy = {path!r}: "
    try:
        module = import_module(name)
    except (ImportError, ValueError) as error:
        raise InvalidInputError(
            f"{refuse}the module {name!r} cannot be imported ({error}); "
            "its folder must be the current one or in PYTHONPATH"
        ) from error
    found = getattr(module, attribute, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if _is_policy(value)]
        near = get_close_matches(attribute, classes, n=1)
        hint = f"did you mean {name}:{near[0]}?" if near else f"its policies: {', '.join(classes)}"
        raise InvalidInputError(f"{refuse}the module {name!r} has no {attribute!r}; {hint}")
    if not _is_policy(found):
        raise InvalidInputError(f"{refuse}must be a subclass of stageroute.policies.Policy")
    missing = sorted(found.__abstractmethods__)
    if missing:
        raise InvalidInputError(f"{refuse}the class lacks {', '.join(missing)}")
    maker: Maker = found
    return maker


def _is_policy(value: object) -> TypeGuard[type[Policy]]:
    return isinstance(value, type) and issubclass(value, Policy) and value is not Policy


def make_policy(name: str, setting: Setting) -> Policy:
    """Make a policy by its name; see `find_policy`.

    Raises
    ------
    InvalidInputError
        If there is no such policy.
    MissingExtraError
        If it is a rival whose package is not installed.
    """
    return find_policy(name)(setting)
