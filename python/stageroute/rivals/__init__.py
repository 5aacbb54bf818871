"""Other routers, driven through their own interfaces for comparison; none is needed to route.

`RIVALS` makes each of them a policy of the comparison; ``docs/rivals.md`` says how each is driven.
Nothing of them is imported before one is made.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stageroute.policies.base import Policy, Setting

__all__ = ["RIVALS"]

Maker = Callable[["Setting"], "Policy"]


def _paretobandit(*, knows_task: bool) -> Maker:
    def make(setting: "Setting") -> "Policy":
        from stageroute.rivals.paretobandit_policy import ParetoBanditPolicy

        return ParetoBanditPolicy(setting, knows_task=knows_task)

    return make


def _mabwiser(algorithm: str, *, affordable_only: bool = False) -> Maker:
    def make(setting: "Setting") -> "Policy":
        from stageroute.rivals.mabwiser import MabwiserPolicy

        return MabwiserPolicy(setting, algorithm, affordable_only=affordable_only)

    return make


def _litellm(strategy: str) -> Maker:
    def make(setting: "Setting") -> "Policy":
        from stageroute.rivals.litellm import LitellmPolicy

        return LitellmPolicy(setting, strategy)

    return make


RIVALS: Final = MappingProxyType[str, Maker](
    {
        "paretobandit": _paretobandit(knows_task=False),
        "paretobandit-tasks": _paretobandit(knows_task=True),
        "mabwiser-ucb1": _mabwiser("ucb1"),
        "mabwiser-thompson": _mabwiser("thompson"),
        "mabwiser-linucb": _mabwiser("linucb"),
        "mabwiser-ucb1-affordable": _mabwiser("ucb1", affordable_only=True),
        "mabwiser-thompson-affordable": _mabwiser("thompson", affordable_only=True),
        "mabwiser-linucb-affordable": _mabwiser("linucb", affordable_only=True),
        "litellm-shuffle": _litellm("shuffle"),
        "litellm-cost": _litellm("cost"),
        "litellm-usage": _litellm("usage"),
    }
)
"""How each rival is made, by name. Its package must be installed: ``stageroute[rivals]``."""
