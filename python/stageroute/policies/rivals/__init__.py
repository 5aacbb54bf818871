"""Other routers, driven through their own interfaces for comparison; none is needed to route.

``docs/rivals.md`` says how each is driven. Neither their adapters nor their packages are imported
before one is made.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_FOLDER: Final = "stageroute.policies.rivals"
_UCB1: Final = {"algorithm": "ucb1"}
_LINUCB: Final = {"algorithm": "linucb"}
_AFFORDABLE: Final = {"affordable_only": True}

RIVAL_CLASSES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = MappingProxyType(
    {
        name: (f"{_FOLDER}.{path}", settings)
        for name, path, settings in (
            ("paretobandit", "paretobandit:ParetoBanditPolicy", {}),
            ("paretobandit-tasks", "paretobandit:ParetoBanditPolicy", {"knows_task": True}),
            ("paretobandit-all", "paretobandit:UncappedParetoBanditPolicy", {}),
            ("mabwiser-ucb1", "mabwiser:MabwiserPolicy", _UCB1),
            ("mabwiser-thompson", "mabwiser:ThompsonMabwiserPolicy", {}),
            ("mabwiser-linucb", "mabwiser:MabwiserPolicy", _LINUCB),
            ("mabwiser-ucb1-affordable", "mabwiser:MabwiserPolicy", _UCB1 | _AFFORDABLE),
            ("mabwiser-thompson-affordable", "mabwiser:ThompsonMabwiserPolicy", _AFFORDABLE),
            ("mabwiser-linucb-affordable", "mabwiser:MabwiserPolicy", _LINUCB | _AFFORDABLE),
            ("litellm-shuffle", "litellm:ShuffleLitellmPolicy", {}),
            ("litellm-cost", "litellm:CostLitellmPolicy", {}),
            ("litellm-usage", "litellm:UsageLitellmPolicy", {}),
        )
    }
)
"""Where the class of each rival is, by its name, and what differs from that class."""
