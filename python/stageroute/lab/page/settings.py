"""What a study ran under, in words."""

from collections.abc import Iterator, Sequence
from typing import Any

from stageroute.lab.results import StudyResults

__all__ = ["settings_rows"]


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
