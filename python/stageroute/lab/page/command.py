"""``stageroute report``: results of studies as one page."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from stageroute.cli_common import check_writable
from stageroute.errors import ResultsError
from stageroute.lab.page.page import Section, to_html
from stageroute.lab.page.settings import command_line, settings_rows
from stageroute.lab.results import STUDY, StudyResults, read_results
from stageroute.lab.studies import STUDIES

__all__ = ["register"]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="show results of studies as one web page",
        description="Write one page with the findings, figures and tables of studies that have "
        "finished. It needs no other file and loads nothing.",
    )
    parser.set_defaults(run=_run)
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULTS",
        help="folders that `stageroute study --out` wrote, or a folder of such folders",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="of the page")


def _run(options: argparse.Namespace) -> int:
    check_writable(options.out)
    folders = result_folders(options.results)
    page = to_html([_section(read_results(folder), folder) for folder in folders])
    options.out.write_text(page, encoding="utf-8")
    size = len(page.encode()) / 1e6
    print(f"{options.out}: {len(folders)} of studies' results, {size:.1f} MB")
    return 0


def result_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the folders of results among `paths` and right below them, each once.

    Raises
    ------
    ResultsError
        If a path is, and holds, none.
    """
    found: list[Path] = []
    for path in paths:
        here = (
            [path] if (path / STUDY).exists() else sorted(f.parent for f in path.glob(f"*/{STUDY}"))
        )
        if not here:
            raise ResultsError(
                f"{path}: no study ran there, nor in a folder in it; "
                "name a folder that `stageroute study --out` wrote"
            )
        found += here
    return list(dict.fromkeys(folder.resolve() for folder in found))


def _section(results: StudyResults, folder: Path) -> Section:
    if results.study not in STUDIES:
        raise ResultsError(
            f"{folder}: study {results.study!r} is none of {', '.join(STUDIES)}; "
            f"read it with stageroute {results.version}, which ran it"
        )
    summary = STUDIES[results.study].summarise(results)
    return Section(summary, settings_rows(results), command_line(results))
