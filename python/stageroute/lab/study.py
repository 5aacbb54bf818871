"""What a study is, and how one is run."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from stageroute._core import __version__
from stageroute.checks import require, require_one_of
from stageroute.lab.declared import Part, Scope
from stageroute.lab.episodes import Episode, Record, run_episode
from stageroute.lab.results import StudyResults, Timing, values
from stageroute.lab.results_folder import open_results
from stageroute.lab.summary import Figure, Summary, Table
from stageroute.policies import Limits
from stageroute.workloads import BuiltIn, Workload

Finished = tuple[Record, Timing]
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
    parts : tuple of str
        Only these parts of a study that has some, by name; all by default.
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
    parts: tuple[str, ...] = ()
    is_small: bool = False

    def __post_init__(self) -> None:
        for argument in ("budgets", "policies", "seeds"):
            value = getattr(self, argument)
            require(len(value) > 0, argument, value, "must name at least one")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


Varied = Callable[[Episode, StudySettings], Iterable[Episode]]
"""The episodes of a study with the seed, and budget, of an episode of StageRoute as it is usual."""


def every_policy(base: Episode, settings: StudySettings) -> Iterator[Episode]:
    """Yield an episode of every policy."""
    for policy in settings.policies:
        yield base.but(policy=policy)


def nothing(_base: Episode, _settings: StudySettings) -> Iterable[Episode]:
    """Return no episode."""
    return ()


@dataclass(frozen=True, eq=False, slots=True)
class Study:
    """A question, the episodes that answer it, and the tables and figures that sum them up."""

    name: str  # how the command line calls it
    title: str
    question: str
    parts: Sequence[Part]
    full: StudySettings = field(default_factory=StudySettings)
    at_each_budget: Varied = every_policy
    once: Varied = nothing  # for each seed, at the budget of the limits
    if_small: Mapping[str, Any] = field(default_factory=dict)  # what is special in `small`

    @property
    def small(self) -> StudySettings:
        """The setting for tests: a few seconds on one core."""
        usual = replace(
            self.full, is_small=True, budgets=self.full.budgets[:1], seeds=self.full.seeds[:3],
            num_queries=2_000, num_stages=10,
        )  # fmt: skip
        return replace(usual, **self.if_small)

    def episodes(self, settings: StudySettings) -> list[Episode]:
        """Return all episodes, seed by seed, those on the same stream next to each other."""
        names: set[str] = set()
        found: dict[object, list[Episode]] = {}
        for seed in settings.seeds:
            base = Episode(
                settings.workload, "stageroute", settings.limits, settings.num_queries,
                settings.num_stages, seed,
            )  # fmt: skip
            varied = [self.at_each_budget(base.but(budget=b), settings) for b in settings.budgets]
            for episode in chain(*varied, self.once(base, settings)):
                names.add(episode.part)
                if not settings.parts or episode.part in settings.parts:
                    found.setdefault(episode.stream, []).append(episode)
        for name in settings.parts:
            require_one_of("parts", name, tuple(sorted(names)))
        return list(chain(*found.values()))

    def summarise(self, results: StudyResults) -> Summary:
        """Evaluate the declarations; a note that an earlier table has is not repeated."""
        runs = results.runs()
        scope = Scope(runs, {"seeds": len(values(runs, "seed")), "workload": runs[0]["workload"]})
        shown: list[Table | Figure] = []
        notes: set[str] = set()
        for item in (item for part in self.parts for item in part(scope)):
            is_said = isinstance(item, Table) and item.note in notes
            shown.append(replace(item, note="") if is_said else item)
            notes.add(item.note)
        return Summary(scope.text(self.title), self.question, tuple(shown))


def run_study(
    study: Study,
    settings: StudySettings,
    folder: Path | None,
    engine: Engine,
    on_finished: Callable[[int, int], None] = lambda _finished, _total: None,
) -> StudyResults:
    """Run what is missing of a study, and write its results.

    The folder is where they are kept, and resumed from; see `open_results`. Without one they are
    kept in memory; an interrupt then returns the records that are there, if there are any.
    `on_finished` is called with the number of episodes that are finished and of all.
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
    found = [done[key] for key in (episode.key() for episode in episodes) if key in done]
    return StudyResults(
        study.name, __version__, json.loads(json.dumps(settings.to_json())),
        [record for record, _ in found], {record.key: timing for record, timing in found},
    )  # fmt: skip
