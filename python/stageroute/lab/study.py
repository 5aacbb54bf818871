"""What a study is, and how one is run."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from stageroute._core import __version__
from stageroute.checks import require
from stageroute.lab.declared import Part, summarise
from stageroute.lab.episodes import Episode, Record, run_episode
from stageroute.lab.results import StudyResults
from stageroute.lab.results_folder import open_results
from stageroute.lab.summary import Summary
from stageroute.policies import Limits
from stageroute.workloads import BuiltIn, Workload

__all__ = ["Engine", "Study", "StudySettings", "run_study"]

Finished = tuple[Record, dict[str, float]]
Engine = Callable[[Callable[[Episode], Finished], Sequence[Episode]], Iterator[Finished]]
"""Runs a function over episodes somewhere; yields what comes back, in any order."""


@dataclass(frozen=True, slots=True)
class StudySettings:
    """What a study runs under. Studies that vary one of these go round its value here.

    Parameters
    ----------
    workload : Workload
    budgets : tuple of float
        b, USD per query; several are compared.
    policies : tuple of str
        By name, or module:Class for those of others.
    seeds : tuple of int
        One stream for each.
    num_queries : int
        T, the length of a stream.
    num_stages : int
        K: deployments are made at the start of each stage.
    limits : Limits
        Everything but the budget.
    is_small : bool
        Whether the study takes a few cells only, as tests do.
    """

    workload: Workload = field(default_factory=BuiltIn)
    budgets: tuple[float, ...] = (0.0003, 0.001, 0.002)
    policies: tuple[str, ...] = ("stageroute",)
    seeds: tuple[int, ...] = tuple(range(20))
    num_queries: int = 36_497
    num_stages: int = 33
    limits: Limits = field(
        default_factory=lambda: Limits(budget=0.001, use_prices=True, solver="native")
    )
    is_small: bool = False

    def __post_init__(self) -> None:
        for argument in ("budgets", "policies", "seeds"):
            value = getattr(self, argument)
            require(len(value) > 0, argument, value, "must name at least one")

    def at_budget(self, budget: float) -> Limits:
        """Return the limits with another budget."""
        return replace(self.limits, budget=budget)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return values | {
            "workload": asdict(self.workload),
            "limits": asdict(self.limits),
        }


class Study(ABC):
    """A question, the episodes that answer it, and the tables and figures that sum them up.

    Attributes
    ----------
    name : str
        How the command line calls it.
    title, question : str
    full : StudySettings
        The full setting.
    parts : sequence of Part
        The tables and figures, as declarations.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    question: ClassVar[str]
    full: ClassVar[StudySettings] = StudySettings()
    parts: ClassVar[Sequence[Part]]

    def small(self, settings: StudySettings) -> StudySettings:
        """Return the setting for tests: a few seconds on one core."""
        return replace(
            settings, is_small=True, budgets=settings.budgets[:1], seeds=settings.seeds[:3],
            num_queries=2_000, num_stages=10,
        )  # fmt: skip

    def settings(self) -> StudySettings:
        """Return the full setting."""
        return self.full

    @abstractmethod
    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return all episodes, those on the same stream next to each other."""

    def summarise(self, results: StudyResults) -> Summary:
        """Sum up the records."""
        return summarise(self.title, self.question, self.parts, results)


def run_study(
    study: Study,
    settings: StudySettings,
    folder: Path | None,
    engine: Engine,
    on_finished: Callable[[int, int], None] = lambda _finished, _total: None,
) -> StudyResults:
    """Run what is missing of a study, and write its results.

    Parameters
    ----------
    study : Study
    settings : StudySettings
    folder : Path or None
        Where results are kept, and resumed from. Without one they are kept in memory; an interrupt
        then returns the records that are there, if there are any.
    engine : callable
        See `stageroute.lab.engines`.
    on_finished : callable, optional
        Called with the number of episodes that are finished and of all, first at the start.

    Raises
    ------
    ResultsError
        If the folder holds something else, or another process works on it.
    """
    episodes = study.episodes(settings)
    if folder is None:
        return _run_in_memory(study, settings, episodes, engine, on_finished)
    with open_results(folder, study.name, settings.to_json(), episodes) as kept:
        missing = [episode for episode in episodes if episode.key() not in kept.finished]
        on_finished(len(kept.finished), len(episodes))
        if missing:
            for record, timing in engine(run_episode, missing):
                kept.add(record, timing)
                on_finished(len(kept.finished), len(episodes))
        return kept.complete()


def _run_in_memory(
    study: Study,
    settings: StudySettings,
    episodes: Sequence[Episode],
    engine: Engine,
    on_finished: Callable[[int, int], None],
) -> StudyResults:
    done: dict[str, Finished] = {}
    try:
        for record, timing in engine(run_episode, episodes):
            done[record.key] = record, timing
            on_finished(len(done), len(episodes))
    except KeyboardInterrupt:
        if not done:
            raise
    keys = [key for key in (episode.key() for episode in episodes) if key in done]
    return StudyResults(
        study.name, __version__, json.loads(json.dumps(settings.to_json())),
        [done[key][0] for key in keys], {key: done[key][1] for key in keys},
    )  # fmt: skip
