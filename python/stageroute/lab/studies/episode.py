"""Episodes under the settings of a study."""

from stageroute.lab.episodes import Cell, Episode
from stageroute.lab.study import StudySettings
from stageroute.policies import Limits
from stageroute.workloads import Workload

__all__ = ["episode"]


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
        workload=settings.workload if workload is None else workload,
        policy=policy,
        limits=limits,
        num_queries=settings.num_queries if num_queries is None else num_queries,
        num_stages=settings.num_stages if num_stages is None else num_stages,
        seed=seed,
        cell=cell,
    )
