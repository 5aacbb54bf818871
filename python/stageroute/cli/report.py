"""``stageroute report``: results of studies as one page."""

from collections.abc import Sequence
from pathlib import Path

from stageroute.cli.output import check_writable
from stageroute.cli.settings import command_line
from stageroute.errors import ResultsError
from stageroute.files import write_text
from stageroute.lab.page.page import Section, settings_rows, to_html
from stageroute.lab.results import STUDY, StudyResults, read_results
from stageroute.lab.studies import STUDIES


def report(*results: Path, out: Path) -> int:
    """Write one page with what studies found; it needs no other file and loads nothing.

    Parameters
    ----------
    results
        Folders that stageroute study --out wrote, or a folder of such folders.
    out
        The page.
    """
    check_writable(out)
    folders = result_folders(results)
    page = to_html([_section(read_results(folder), folder) for folder in folders])
    write_text(out, page)
    studies = "1 study" if len(folders) == 1 else f"{len(folders)} studies"
    print(f"{out}: {studies}, {len(page.encode()) / 1e6:.1f} MB")
    return 0


def result_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the folders of results among `paths` and right below them, each once."""
    found: list[Path] = []
    for path in paths:
        here = (
            [path] if (path / STUDY).exists() else sorted(f.parent for f in path.glob(f"*/{STUDY}"))
        )
        if not here:
            raise ResultsError(
                f"{path}: no study ran there, nor in a folder in it; "
                "name a folder that stageroute study --out wrote"
            )
        found += here
    return list(dict.fromkeys(folder.resolve() for folder in found))


def _section(results: StudyResults, folder: Path) -> Section:
    if results.study not in STUDIES:
        raise ResultsError(
            f"{folder}: study {results.study!r} is none of {', '.join(STUDIES)}; "
            f"read it with stageroute {results.version}, which ran it"
        )
    study = STUDIES[results.study]
    return Section(study.summarise(results), settings_rows(results), command_line(study, results))
