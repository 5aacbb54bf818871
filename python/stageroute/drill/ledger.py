"""What the environment knows of the traffic and the money, without asking the router."""

from collections import defaultdict
from collections.abc import Iterable

from stageroute.config.models import Tokens
from stageroute.config.settings import Health
from stageroute.drill.environment import Environment
from stageroute.drill.fleet import FLEET
from stageroute.drill.known_limits import KnownLimits
from stageroute.drill.settings import HOUR, STARTS

__all__ = ["EnvironmentLedger"]


class EnvironmentLedger:
    """The limits as told, and the bills of each clock hour.

    Parameters
    ----------
    world : Environment
        Says what tokens cost.
    limit : float
        The hard limit, USD per clock hour.
    health : Health
    """

    def __init__(self, world: Environment, limit: float, health: Health) -> None:
        self.known = {name: KnownLimits(FLEET[name].to_model(), health) for name in FLEET}
        self.limit = limit
        self._world = world
        # By clock hour: bills, and the largest bills possible of what is under way.
        self._committed: defaultdict[int, float] = defaultdict(float)

    def send(self, model: str, tokens: tuple[float, float], now: float) -> float:
        """Note a request by input and most output tokens; return its largest bill."""
        self.known[model].send(sum(tokens), now)
        largest = self._world.bill(model, Tokens(*tokens))
        self._committed[_hour(now)] += largest
        return largest

    def settle(self, sent: float, largest: float, bill: float) -> None:
        """Put the bill of a request sent at that time in the place of the largest possible."""
        self._committed[_hour(sent)] += bill - largest

    def why_not(
        self,
        models: Iterable[str],
        failed: tuple[str, ...],
        tokens: tuple[float, float],
        now: float,
    ) -> dict[str, str]:
        """Say for each model why it could not serve a request; with "" if it could have."""
        room = self.limit - self._committed[_hour(now)]
        why = {}
        for name in models:
            if name in failed:
                why[name] = "failed this request"
            # Two sums of the same bills may differ in their last digits.
            elif self._world.bill(name, Tokens(*tokens)) > room - 1e-6:
                why[name] = "money"
            else:
                why[name] = self.known[name].why_not(sum(tokens), now)
        return why


def _hour(seconds: float) -> int:
    return int((STARTS + seconds) // HOUR)
