"""``stageroute replay``: one policy on one stream, every decision written down."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from stageroute.cli.output import check_writable
from stageroute.cli.settings import StreamOptions
from stageroute.datasets.streams import Stream
from stageroute.errors import InvalidInputError
from stageroute.files import writing
from stageroute.lab.study import StudySettings
from stageroute.policies import RULES, Setting, make_policy
from stageroute.replay import ReplayResult
from stageroute.replay import replay as replay_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""

USUALLY: Final = StreamOptions()


def replay(
    *,
    out: Path,
    policy: str = "stageroute",
    budget: float = 0.001,
    seed: int = 0,
    options: StreamOptions = USUALLY,
) -> int:
    """Replay one policy on one stream; write every decision to a file.

    Parameters
    ----------
    out
        The file: .csv or .npz. In CSV an apostrophe precedes the name of a model that
        spreadsheets would take for a formula.
    policy
        By name, or module:Class for one of yours.
    budget
        b, USD per query.
    seed
        Of the stream and of the policy.
    """
    if out.suffix not in (".csv", ".npz"):
        raise InvalidInputError(f"--out = {out}: must end in .csv or .npz")
    check_writable(out)
    settings = options.change(StudySettings())
    stream = settings.workload.stream(settings.num_queries, seed)
    limits, stages = replace(settings.limits, budget=budget), settings.num_stages
    made = make_policy(policy, Setting(stream, limits, stages, seed))
    result = replay_stream(made, stream, stages, limits=limits)
    _write_decisions(out, stream, result)
    print(f"{stream.num_queries:,} decisions of {policy} written to {out}")
    for rule, times in result.over.items():
        print(f"rule {rule} broken {times:,} times: {RULES[rule]}")
    return 0


def _write_decisions(path: Path, stream: Stream, result: ReplayResult) -> None:
    queries = np.arange(stream.num_queries)
    columns: dict[str, NDArray[np.generic]] = {
        "query": queries,
        "row": stream.rows,
        "stage": np.searchsorted(result.stage_starts, queries, side="right"),
        "model": np.asarray(stream.table.models)[result.arm],
        "probability": result.probability,
        "budget_price": result.budget_price,
        "reward": result.reward,
        "cost": result.cost,
    }
    with writing(path) as new:
        if path.suffix == ".npz":
            with new.open("wb") as binary:
                np.savez_compressed(binary, allow_pickle=False, **columns)
        else:
            _write_csv(new, columns | {"model": _as_text(stream.table.models)[result.arm]})


def _as_text(names: Sequence[str]) -> "NDArray[np.str_]":
    """Have spreadsheets show names as they are, where they would run them as formulas."""
    return np.array([f"'{name}" if name.startswith(FORMULAS) else name for name in names])


def _write_csv(path: Path, columns: Mapping[str, "NDArray[np.generic]"]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
