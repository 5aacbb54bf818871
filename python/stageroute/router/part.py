"""What the parts of a router share, and what it is run with, which is no part of its state."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from stageroute._core import Router
from stageroute.checks import require, require_one_of
from stageroute.config.router import RouterSettings
from stageroute.decision_log.log import DecisionLog
from stageroute.deployment.plan import StagePlan
from stageroute.router.events import Event
from stageroute.router.facts import Facts

Clock: TypeAlias = Callable[[], float | tuple[float, float]]
"""Returns the seconds since 1970, or a pair: those, and those of a clock that never jumps."""


class Part(Router):
    """The native half, which routes and takes feedback, and the facts beside its `_control`."""

    _around: "Surroundings"
    _changing: threading.RLock

    @property
    def _facts(self) -> Facts:
        """The facts, as they fit the core now."""
        facts: Facts = self._control.facts()
        return facts

    @property
    def _lock(self) -> threading.RLock:
        """Held while models and stages change, so that two boundaries never overlap.

        `route` and `observe` never take it. In a forked child it may be held by a thread that is
        not there, and is refused.
        """
        self._require_own()
        return self._changing

    def _require_own(self) -> None:
        """Raise `ForkedRouterError` unless this process has made the router."""
        _ = self._control


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Arguments of `StageRouter` that are given anew each time it is started."""

    controller: str
    start_models: Callable[[StagePlan], object] | None
    decision_log: DecisionLog | None
    clock: Clock | None
    on_event: Callable[[Event], object] | None = None

    def check(self, settings: RouterSettings) -> None:
        """Require that they go together with these settings."""
        require_one_of("controller", self.controller, ("background", "inline"))
        log, known = self.decision_log, DecisionLog | None
        require(isinstance(log, known), "decision_log", log, "must be a DecisionLog, or None")
        for name in ("clock", "start_models", "on_event"):
            ok = getattr(self, name) is None or callable(getattr(self, name))
            require(ok, name, getattr(self, name), "must be callable, or None")
        is_inline = self.controller == "inline"
        ok = not (is_inline and settings.stage_seconds is not None)
        require(ok, "controller", self.controller, "stages by the clock need the background")
        ok = self.start_models is None or not is_inline
        require(ok, "start_models", self.start_models, "needs the background")

    def steady_time(self) -> float:
        """Read the clock that never jumps, as far as there is one; in seconds from any start."""
        if self.clock is None:
            return time.monotonic()
        shown = self.clock()
        return shown[1] if isinstance(shown, tuple) else shown

    @property
    def log_capacity(self) -> int:
        """How many decisions the core keeps for the log."""
        return 0 if self.decision_log is None else self.decision_log.capacity
