"""What a drill is run with, and what it leaves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from stageroute.checks import is_number, is_whole, require
from stageroute.datasets.trace import Trace
from stageroute.drill.events import INITIAL, Event
from stageroute.drill.records import DrillRecord
from stageroute.router.state import RouterCounters

__all__ = ["HOUR", "STARTS", "DrillResult", "DrillSettings", "hard_limit"]

STARTS: Final = 1_784_883_300.0
"""2026-07-24 08:55 UTC: five minutes before an hour ends, so that an hourly limit starts anew."""

HOUR: Final = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillSettings:
    """What a drill is run with.

    Parameters
    ----------
    budget : float, default 0.0015
        Average USD per decision.
    hard_limit : float, optional
        USD per clock hour, above 0; by default 1.05 times what the budget allows in the busiest.
    max_deployed : int, default 4
        How many models can be live at once.
    stages : int, default 33
        Into how many stages the trace is divided, counted in queries.
    seed : int, default 0
        Fixes every draw, of the environment and of the router.
    journal : Path, optional
        Restart from a journal there, which must not exist yet, in place of a snapshot.

    Raises
    ------
    InvalidInputError
        If a field breaks its rule.
    """

    budget: float = 0.0015
    hard_limit: float | None = None
    max_deployed: int = 4
    stages: int = 33
    seed: int = 0
    journal: Path | None = None

    def __post_init__(self) -> None:
        for name in ("budget", "hard_limit"):
            value = getattr(self, name)
            ok = (value is None and name == "hard_limit") or (is_number(value) and value > 0.0)
            require(ok, name, value, "must be finite and above 0, in USD")
        ok = is_whole(self.max_deployed) and 2 <= self.max_deployed <= len(INITIAL)
        rule = f"must be a whole number in [2, {len(INITIAL)}], the models at the start"
        require(ok, "max_deployed", self.max_deployed, rule)
        ok = is_whole(self.stages) and self.stages >= 1
        require(ok, "stages", self.stages, "must be a whole number, at least 1")
        ok = is_whole(self.seed) and 0 <= self.seed < 2**63
        require(ok, "seed", self.seed, "must be a whole number in [0, 2**63)")
        ok = self.journal is None or not self.journal.exists()
        rule = "is there already: give the path of a journal that is not, or remove it"
        require(ok, "journal", str(self.journal), rule)


@dataclass(frozen=True, slots=True)
class DrillResult:
    """A drill that is over.

    `hard_limit` is in USD per clock hour, the events' times are in seconds, and `counters` are the
    router's own, at the end.
    """

    trace: Trace
    settings: DrillSettings
    hard_limit: float
    events: tuple[Event, ...]
    record: DrillRecord
    counters: RouterCounters


def hard_limit(trace: Trace, settings: DrillSettings) -> float:
    """Work out the hard limit of a drill, USD per clock hour."""
    if settings.hard_limit is not None:
        return settings.hard_limit
    hours = ((STARTS + trace.seconds) // HOUR).astype(np.int64)
    _, counts = np.unique(hours, return_counts=True)
    return float(1.05 * settings.budget * counts.max())
