"""What several subcommands share: the table of outcomes, a progress bar, files to write."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

from tqdm import tqdm

from stageroute.datasets import OutcomeTable, read_table, routerbench_synthetic
from stageroute.errors import InvalidInputError

__all__ = [
    "EXIT_INTERRUPTED",
    "add_run_options",
    "add_table_options",
    "check_writable",
    "gather",
    "read_options_table",
    "write_json",
]

EXIT_INTERRUPTED: Final = 130

Run = TypeVar("Run")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add seeds, processes and outputs."""
    parser.add_argument("--seeds", type=int, default=20, help="how many streams")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first stream")
    parser.add_argument("--workers", type=int, help="processes; by default one for each core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, for machines")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add where the outcomes come from."""
    group = parser.add_argument_group("table of outcomes")
    group.add_argument("--data", type=Path, metavar="FILE", help="parquet, CSV, NPZ, or pickle; "
                       "by default the built-in RouterBench-calibrated set")  # fmt: skip
    group.add_argument(
        "--weights", type=Path, metavar="FILE", help="query_id, weight (parquet, CSV)"
    )
    group.add_argument("--name", help="how reports call the table")
    group.add_argument("--models", nargs="+", metavar="MODEL", help="only these, in this order")
    group.add_argument("--drop-missing", action="store_true", help="leave out incomplete rows")
    group.add_argument(
        "--allow-pickle",
        action="store_true",
        help="read the RouterBench pickle, whose checksum is verified first",
    )


def read_options_table(options: argparse.Namespace) -> OutcomeTable:
    """Read the table that the options name."""
    if options.data is not None:
        return read_table(
            options.data,
            weights=options.weights,
            models=options.models,
            drop_missing=options.drop_missing,
            allow_pickle=options.allow_pickle,
            name=options.name,
        )
    if options.weights is not None:
        raise InvalidInputError("--weights belongs to a table: give --data too")
    table = routerbench_synthetic()
    return table if options.models is None else table.select(options.models)


def check_writable(path: Path | None) -> None:
    """Find out before the work that its result could not be written."""
    if path is not None and not path.parent.is_dir():
        raise InvalidInputError(f"{path}: there is no folder {path.parent}")


def gather(runs: Iterator[Run], total: int, *, no_progress: bool) -> tuple[list[Run], bool]:
    """Collect runs under a progress bar.

    Returns
    -------
    runs : list
        Those that finished.
    interrupted : bool
        Whether Ctrl-C came before the last; standard error says so then.
    """
    finished: list[Run] = []
    interrupted = False
    with tqdm(total=total, unit="run", disable=no_progress or None) as progress:
        try:
            for run in runs:
                finished.append(run)
                progress.update()
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        print(f"stageroute: interrupted after {len(finished)} of {total} runs", file=sys.stderr)
    return finished, interrupted


def write_json(path: Path | None, value: object) -> None:
    """Write plain JSON values to a file, if there is one."""
    if path is not None:
        text = json.dumps(value, indent=1, allow_nan=False)
        path.write_text(text + "\n", encoding="utf-8")
