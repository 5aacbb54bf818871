"""``stageroute bench``, ``scenarios`` and ``study``: run a study, print what it says."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter

from stageroute.cli.app import EXIT_INTERRUPTED
from stageroute.cli.output import Json, check_picture, check_writable, say, show_progress
from stageroute.cli.settings import NOTHING, StudyOptions
from stageroute.files import write_text, writing
from stageroute.lab.engines import ENGINES, make_engine
from stageroute.lab.figures import write_figures
from stageroute.lab.page.drawing import save_plot
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import run_study
from stageroute.lab.text import settings_text, to_markdown, to_text


@Parameter(name="*", group="Running")
@dataclass(frozen=True, kw_only=True)
class Running:
    """Where episodes run, and what is written.

    Parameters
    ----------
    engine : {"local", "ray"}
        Where episodes run.
    workers : int, optional
        Processes; one for each core by default.
    address : str, optional
        Of the Ray cluster: local, auto, ray://HOST:PORT.
    progress : bool, default True
        Show how far it is.
    json : Path, optional
        See `Json`.
    figures : Path, optional
        Write a few KB, enough for stageroute compare.
    markdown : Path, optional
        Write the tables as a page.
    plot : Path, optional
        Draw the curves (PNG, SVG).
    """

    engine: Literal[ENGINES] = "local"  # type: ignore[valid-type]
    workers: int | None = None
    address: str | None = None
    progress: bool = True
    json: Json = None
    figures: Path | None = None
    markdown: Path | None = None
    plot: Path | None = None


USUALLY: Final = Running()

Folder = Annotated[Path, Parameter(help="Folder of the results; say it again to go on.")]


def study(
    name: Annotated[Literal[tuple(STUDIES)], Parameter(show_choices=True)],  # type: ignore[valid-type]
    /,
    *,
    out: Folder,
    options: StudyOptions = NOTHING,
    running: Running = USUALLY,
) -> int:
    """Run a study, or go on with one; its results are kept in a folder.

    Parameters
    ----------
    name
        What to find out.
    """
    return _run(name, options, out, running)


def bench(
    *,
    out: Folder | None = None,
    options: StudyOptions = NOTHING,
    running: Running = USUALLY,
) -> int:
    """Compare policies over a table of outcomes, several seeds in parallel."""
    return _run("bench", options, out, running)


def scenarios(
    *,
    out: Folder | None = None,
    scenarios: tuple[str, ...] = (),
    options: StudyOptions = NOTHING,
    running: Running = USUALLY,
) -> int:
    """Drive the router through feedback as it really comes, and through a changing world.

    Parameters
    ----------
    scenarios
        Only these, by name.
    """
    chosen = {"scenarios": scenarios} if scenarios else {}
    return _run("scenarios", options, out, running, **chosen)


def _run(
    name: str, options: StudyOptions, out: Path | None, running: Running, **changes: Any
) -> int:
    study = STUDIES[name]
    settings = replace(options.of(study), **changes)
    check_writable(running.json, running.figures, running.markdown)
    check_picture(running.plot)
    settings.workload.label  # noqa: B018  # a table that cannot be read is an error now, not later
    engine = make_engine(running.engine, workers=running.workers, address=running.address)
    finished, total = 0, 0
    try:
        with show_progress(study.name, is_shown=running.progress) as show:

            def on_finished(done: int, of: int) -> None:
                nonlocal finished, total
                finished, total = done, of
                show(done, of)

            results = run_study(study, settings, out, engine, on_finished)
    except KeyboardInterrupt:
        where = f"{out}: run it again to go on" if out else "no place: nothing was finished"
        print(
            f"stageroute: interrupted; {finished} of {total} episodes are kept in {where}",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    summary = study.summarise(results)
    try:
        if running.markdown is not None:
            write_text(running.markdown, to_markdown(summary))
        if running.figures is not None:
            write_figures(running.figures, results)
        if running.plot is not None:
            with writing(running.plot) as new:
                save_plot(summary, new, running.plot.suffix[1:])
    finally:
        text = f"{settings_text(results)}\n\n{to_text(summary)}"
        say(text, running.json, results.to_json)
    if finished < total:
        print(f"stageroute: interrupted after {finished} of {total} episodes", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0
