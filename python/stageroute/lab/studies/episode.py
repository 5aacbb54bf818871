"""Episodes under the settings of a study."""

from dataclasses import fields, replace
from typing import Any, Final

from stageroute.config.confidence import Confidence
from stageroute.lab.episodes import Cell, Episode
from stageroute.lab.study import StudySettings
from stageroute.policies import Limits
from stageroute.workloads import Workload

__all__ = ["changed", "episode"]

CONFIDENCE: Final = frozenset(field.name for field in fields(Confidence))


def changed(limits: Limits, **changes: Any) -> Limits:
    """Return limits with other values of some fields, or of their confidence's fields."""
    of_confidence = {name: changes.pop(name) for name in [*changes] if name in CONFIDENCE}
    return replace(limits, confidence=replace(limits.confidence, **of_confidence), **changes)


def episode(
    settings: StudySettings,
    policy: str,
    limits: Limits,
    seed: int,
    cell: Cell = (),
    *,
    workload: Workload | None = None,
    num_queries: int | None = None,
    num_stages: int | None = None,
) -> Episode:
    """Return an episode as the settings have it, but for what is given."""
    return Episode(
        workload or settings.workload, policy, limits, num_queries or settings.num_queries,
        num_stages or settings.num_stages, seed, cell,
    )  # fmt: skip
