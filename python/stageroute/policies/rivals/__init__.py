"""Other routers, driven through their own interfaces for comparison; none is needed to route.

``docs/rivals.md`` says how each is driven. Neither their adapters nor their packages are imported
before one is made.
"""

from types import MappingProxyType
from typing import Final

__all__ = ["RIVAL_CLASSES"]

_PARETOBANDIT: Final = "stageroute.policies.rivals.paretobandit_policy"
_MABWISER: Final = "stageroute.policies.rivals.mabwiser"
_LITELLM: Final = "stageroute.policies.rivals.litellm"

RIVAL_CLASSES: Final = MappingProxyType(
    {
        "paretobandit": f"{_PARETOBANDIT}:ParetoBanditPolicy",
        "paretobandit-tasks": f"{_PARETOBANDIT}:TaskParetoBanditPolicy",
        "paretobandit-all": f"{_PARETOBANDIT}:UncappedParetoBanditPolicy",
        "mabwiser-ucb1": f"{_MABWISER}:Ucb1MabwiserPolicy",
        "mabwiser-thompson": f"{_MABWISER}:ThompsonMabwiserPolicy",
        "mabwiser-linucb": f"{_MABWISER}:LinUcbMabwiserPolicy",
        "mabwiser-ucb1-affordable": f"{_MABWISER}:AffordableUcb1MabwiserPolicy",
        "mabwiser-thompson-affordable": f"{_MABWISER}:AffordableThompsonMabwiserPolicy",
        "mabwiser-linucb-affordable": f"{_MABWISER}:AffordableLinUcbMabwiserPolicy",
        "litellm-shuffle": f"{_LITELLM}:ShuffleLitellmPolicy",
        "litellm-cost": f"{_LITELLM}:CostLitellmPolicy",
        "litellm-usage": f"{_LITELLM}:UsageLitellmPolicy",
    }
)
"""Where the class of each rival is, by its name."""
