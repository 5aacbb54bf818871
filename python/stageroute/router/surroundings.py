"""What a router is run with, and what is no part of its state."""

from collections.abc import Callable
from dataclasses import dataclass

from stageroute.checks import require, require_one_of
from stageroute.config.router import RouterSettings
from stageroute.decision_log.log import DecisionLog
from stageroute.deployment.plan import StagePlan


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Arguments of `StageRouter` that are given anew each time it is started."""

    controller: str
    start_models: Callable[[StagePlan], object] | None
    decision_log: DecisionLog | None
    clock: Callable[[], float] | None

    def check(self, settings: RouterSettings) -> None:
        """Require that they go together with these settings."""
        require_one_of("controller", self.controller, ("background", "inline"))
        is_inline = self.controller == "inline"
        ok = not (is_inline and settings.stage_seconds is not None)
        require(ok, "controller", self.controller, "stages by the clock need the background")
        ok = self.start_models is None or not is_inline
        require(ok, "start_models", self.start_models, "needs the background")

    @property
    def log_capacity(self) -> int:
        """How many decisions the core keeps for the log."""
        return 0 if self.decision_log is None else self.decision_log.capacity
