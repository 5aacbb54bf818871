"""What a study ran under, in words, and the command that runs it again."""

import argparse
import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from stageroute.errors import InvalidInputError
from stageroute.lab.command import read_settings, register
from stageroute.lab.results import StudyResults
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import StudySettings

__all__ = ["command_line", "settings_rows"]


def settings_rows(results: StudyResults) -> list[tuple[str, str]]:
    """Return what a study ran under: names and values, in the order they were written down."""
    rows = [("study", results.study), ("version", f"stageroute {results.version}")]
    limits = {k: v for k, v in results.settings["limits"].items() if k != "budget"}
    # The study's budgets stand in place of that of its limits.
    rows += list(_flat(results.settings | {"limits": limits}, ""))
    rows.append(("episodes", f"{len(results.records):,}"))
    return rows


def _flat(values: dict[str, Any], above: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        full = f"{above}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{full}, ")
        else:
            yield full, _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _run(value) or ", ".join(map(_text, value))
    return str(value)


def _run(values: Sequence[object]) -> str:
    """Return whole numbers that follow each other as a range; "" for anything else."""
    if len(values) < 3 or not all(isinstance(value, int) for value in values):
        return ""
    first = values[0]
    assert isinstance(first, int)
    is_run = list(values) == list(range(first, first + len(values)))
    return f"{first} to {values[-1]}" if is_run else ""


OPTIONS: Final[tuple[tuple[str, Callable[[dict[str, Any]], Any]], ...]] = (
    ("--workload", lambda settings: _workload_text(settings["workload"])),
    ("--budget", lambda settings: settings["budgets"]),
    ("--policies", lambda settings: settings["policies"]),
    ("--seeds", lambda settings: len(settings["seeds"])),
    ("--queries", lambda settings: settings["num_queries"]),
    ("--stages", lambda settings: settings["num_stages"]),
    ("--max-deployed", lambda settings: settings["limits"]["max_deployed"]),
    ("--throughput-cap", lambda settings: settings["limits"]["throughput_cap"]),
    ("--solver", lambda settings: settings["limits"]["solver"]),
)
"""What each option says of the settings that were written down."""


def command_line(results: StudyResults) -> str | None:
    """Return the command that runs a study again; None where options do not say its settings."""
    study = STUDIES[results.study]
    settings = study.settings()
    arguments = ["study", study.name]
    if results.settings["is_small"]:
        settings = study.small(settings)
        arguments.append("--small")
    default = _plain(settings)
    for option, value in OPTIONS:
        if value(results.settings) != value(default):
            values = value(results.settings)
            arguments += [option, *map(str, values if isinstance(values, list) else [values])]
    arguments += ["--out", "FOLDER"]
    return shlex.join(["stageroute", *arguments]) if _says(arguments, results.settings) else None


def _says(arguments: list[str], settings: dict[str, Any]) -> bool:
    """Whether the settings are what these arguments stand for."""
    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    options = parser.parse_args(arguments)
    try:
        return _plain(read_settings(STUDIES[options.study], options)) == settings
    except InvalidInputError:
        return False


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
