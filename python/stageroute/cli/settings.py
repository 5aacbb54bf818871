"""Settings of studies from options, and options from settings."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, CycloptsError, Parameter

from stageroute.cli.app import SEVERAL
from stageroute.cli.options import changes_of, flag_of, read_changes, write_value
from stageroute.config.confidence import Confidence
from stageroute.errors import InvalidInputError
from stageroute.lab.results import StudyResults
from stageroute.lab.study import Study, StudySettings
from stageroute.policies import Limits
from stageroute.workloads import BuiltIn, TableFile, Workload, parse_workload

if TYPE_CHECKING:
    Comparison = dict[str, Any]
    Length = dict[str, Any]
    Table = dict[str, Any]
    LimitChanges = dict[str, Any]
    ConfidenceChanges = dict[str, Any]
    DriftChanges = dict[str, Any]
else:
    _USUAL = StudySettings()
    _ELSEWHERE = ("workload", "seeds", "limits", "is_small")
    Length = changes_of(_USUAL, without=(*_ELSEWHERE, "budgets", "policies"), show_defaults=False)
    Comparison = changes_of(
        _USUAL, without=(*_ELSEWHERE, "num_queries", "num_stages"), show_defaults=False
    )
    Table = changes_of(TableFile("table.parquet"), show_defaults=False)
    LimitChanges = changes_of(
        _USUAL.limits, without=("budget", "confidence", "drift", "reward_prior")
    )
    ConfidenceChanges = changes_of(_USUAL.limits.confidence)
    DriftChanges = changes_of(_USUAL.limits.drift)

GROUPS: Final = (
    (Comparison, ()),
    (Length, ()),
    (LimitChanges, ("limits",)),
    (ConfidenceChanges, ("limits", "confidence")),
    (DriftChanges, ("limits", "drift")),
)
"""Where in a study's settings the values of each group of options are."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """On what streams and under what limits; what is not given is as the study has it.

    Parameters
    ----------
    workload : str, optional
        As docs/workloads.md describes them, in place of a table.
    """

    workload: Annotated[str | None, Parameter(group="Stream")] = None
    length: Annotated[Length, Parameter(name="*", group="Stream")] = field(default_factory=dict)
    table: Annotated[Table, Parameter(name="*", group="Stream")] = field(default_factory=dict)
    limits: Annotated[LimitChanges, Parameter(name="*", group="Limits")] = field(
        default_factory=dict
    )
    confidence: Annotated[ConfidenceChanges, Parameter(name="*", group="Learner")] = field(
        default_factory=dict
    )
    drift: Annotated[DriftChanges, Parameter(name="*", group="Learner")] = field(
        default_factory=dict
    )

    def change(self, settings: StudySettings) -> StudySettings:
        """Return settings with what the options change."""
        changes = read_changes(self.length)
        if self.workload is not None or self.table:
            changes["workload"] = workload = workload_of(self.workload, self.table)
            if "num_queries" not in changes and getattr(workload, "order", "iid") != "iid":
                # Rows that are taken one after the other end with the table.
                changes["num_queries"] = workload.table().num_rows
        limits = read_changes(self.limits)
        if "throughput_cap" not in limits:
            limits["throughput_cap"] = self._usual_cap(
                changes.get("workload", settings.workload), replace(settings.limits, **limits)
            )
        if self.confidence:
            limits["confidence"] = Confidence(**read_changes(self.confidence))
        if self.drift:
            limits["drift"] = replace(settings.limits.drift, **read_changes(self.drift))
        return replace(settings, **changes, limits=replace(settings.limits, **limits))

    def _usual_cap(self, workload: Workload, limits: Limits) -> float | tuple[float, ...]:
        """Return the caps as they are, or larger where so few models could not take all queries."""
        usual = limits.throughput_cap
        if not isinstance(workload, BuiltIn | TableFile) or isinstance(usual, tuple):
            return usual
        live = min(limits.max_deployed, workload.num_initial, workload.table().num_models)
        return max(usual, 1.0 / max(live, 1))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class StudyOptions(StreamOptions):
    """What a study runs under; what is not given is as the study has it.

    Parameters
    ----------
    workload : str, optional
        As docs/workloads.md describes them, in place of a table.
    seeds : int, optional
        Number of streams.
    first_seed : int, default 0
        Seed of the first stream.
    small : bool, default False
        A few seconds instead of minutes.
    """

    comparison: Annotated[Comparison, Parameter(name="*")] = field(default_factory=dict)
    seeds: int | None = None
    first_seed: int = 0
    small: Annotated[bool, Parameter(negative="")] = False

    def of(self, study: Study) -> StudySettings:
        """Return the study's own settings, with what the options change."""
        settings = study.small if self.small else study.full
        count = len(settings.seeds) if self.seeds is None else self.seeds
        seeds = tuple(range(self.first_seed, self.first_seed + count))
        return replace(self.change(settings), seeds=seeds, **read_changes(self.comparison))


NOTHING: Final = StudyOptions()


def workload_of(text: str | None, table: Mapping[str, Any]) -> Workload:
    """Return the workload that a text describes, or options of a table do."""
    if text is not None:
        if table:
            raise InvalidInputError(
                f"{flag_of(next(iter(table)))}: is for a table; with --workload, say it there"
            )
        return parse_workload(text)
    changes = read_changes(table)
    if "path" in changes:
        return TableFile(**changes)
    for name in changes.keys() - {each.name for each in fields(BuiltIn)}:
        raise InvalidInputError(f"{flag_of(name)} belongs to a table: give --data too")
    return BuiltIn(**changes)


def settings_of(study: Study, words: Sequence[str]) -> StudySettings:
    """Return the settings that a study runs under, given options as words of a command line."""

    def read(*, options: StudyOptions = NOTHING) -> StudySettings:
        return options.of(study)

    app = App(default_command=read, default_parameter=SEVERAL, result_action="return_value")
    settings: StudySettings = app(words, exit_on_error=False, print_error=False)
    return settings


def command_line(study: Study, results: StudyResults) -> str | None:
    """Return the command that runs a study again; None where options do not say its settings."""
    wanted = results.settings
    settings, words = (study.small, ["--small"]) if wanted["is_small"] else (study.full, [])
    words += _differences(_plain(settings), wanted)
    try:
        if _plain(settings_of(study, words)) != wanted:
            return None
    except (CycloptsError, InvalidInputError):
        return None
    return shlex.join(["stageroute", "study", study.name, *words, "--out", "FOLDER"])


def _differences(usual: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """Yield the options that make the wanted settings of the usual ones."""
    if wanted["workload"] != usual["workload"]:
        yield from ("--workload", _workload_text(wanted["workload"]))
    for group, path in GROUPS:
        before, after = usual, wanted
        for name in path:
            before, after = before[name], after[name]
        for name in group.__annotations__:
            if before[name] != after[name]:
                yield from (flag_of(name), *write_value(name, after[name]))
    if wanted["seeds"] != usual["seeds"]:
        yield from ("--seeds", str(len(wanted["seeds"])))
        if wanted["seeds"][0]:
            yield from ("--first-seed", str(wanted["seeds"][0]))


def _workload_text(values: dict[str, Any]) -> str:
    """Return how the command line describes a workload; what it cannot say is left out."""
    options = {name: value for name, value in values.items() if name not in ("kind", "base")}
    kind, base = values["kind"], values.get("base")
    if "change" in options:
        change = options.pop("change")
        kind = change["kind"]
        options |= {name: value for name, value in change.items() if name != "kind"}
    text = ",".join(
        f"{name}={str(value).lower() if isinstance(value, bool) else value}"
        for name, value in options.items()
        if isinstance(value, bool | int | float | str)
    )
    layer = f"{kind}:{text}" if text else kind
    return layer if base is None else f"{_workload_text(base)}+{layer}"


def _plain(settings: StudySettings) -> dict[str, Any]:
    """Return settings as they are read from a file."""
    values: dict[str, Any] = json.loads(json.dumps(settings.to_json()))
    return values
