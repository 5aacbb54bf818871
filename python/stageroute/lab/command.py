"""``stageroute study``: run a study, keep its results, print what it says."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from stageroute.cli_common import EXIT_INTERRUPTED, check_writable, write_json
from stageroute.deployment.solve import SOLVERS
from stageroute.lab import compare_command
from stageroute.lab.engines import ENGINES, make_engine
from stageroute.lab.figures import write_figures
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import Study, StudySettings, run_study
from stageroute.lab.text import to_markdown, to_text
from stageroute.workloads import parse_workload

__all__ = ["read_settings", "register"]


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the lab's commands."""
    compare_command.register(commands)
    parser = commands.add_parser(
        "study",
        help="run a study of the lab",
        description="Run a study, or go on with one; results are kept in a folder.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=_run)
    parser.add_argument("study", choices=list(STUDIES), help="what to find out")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="of the results")
    parser.add_argument("--small", action="store_true", help="a few seconds instead of minutes")
    parser.add_argument("--workload", metavar="WORKLOAD", help="see docs/workloads.md")
    parser.add_argument("--budget", type=float, nargs="+", help="b, USD per query")
    parser.add_argument("--policies", nargs="+", metavar="POLICY")
    parser.add_argument("--seeds", type=int, help="how many streams")
    parser.add_argument("--queries", type=int, metavar="T")
    parser.add_argument("--stages", type=int, metavar="K")
    parser.add_argument("--max-deployed", type=int, metavar="M_MAX")
    parser.add_argument("--throughput-cap", type=float, metavar="ALPHA")
    parser.add_argument("--solver", choices=SOLVERS, help="of the deployments")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="where episodes run")
    parser.add_argument("--workers", type=int, help="processes; by default one for each core")
    parser.add_argument("--address", help="of the Ray cluster: local, auto, ray://HOST:PORT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, for machines")
    parser.add_argument("--figures", type=Path, metavar="FILE",
                        help="write a few KB, enough for 'stageroute compare'")  # fmt: skip
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as a page")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")


def read_settings(study: Study, options: argparse.Namespace) -> StudySettings:
    """Return the study's own settings, with what the options change."""
    settings = study.settings()
    if options.small:
        settings = study.small(settings)
    limits = {
        "max_deployed": options.max_deployed,
        "throughput_cap": options.throughput_cap,
        "solver": options.solver,
    }
    limits = {name: value for name, value in limits.items() if value is not None}
    changes = {
        "workload": None if options.workload is None else parse_workload(options.workload),
        "budgets": None if options.budget is None else tuple(options.budget),
        "policies": None if options.policies is None else tuple(options.policies),
        "seeds": None if options.seeds is None else tuple(range(options.seeds)),
        "num_queries": options.queries,
        "num_stages": options.stages,
        "limits": replace(settings.limits, **limits) if limits else None,
    }
    return replace(
        settings, **{name: value for name, value in changes.items() if value is not None}
    )


class _Progress:
    """How far the study is, and a bar that shows it."""

    def __init__(self, *, is_hidden: bool) -> None:
        self.finished = self.total = 0
        self._bar = tqdm(unit="episode", disable=is_hidden or None)

    def show(self, finished: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(finished - self.finished)
        self.finished, self.total = finished, total

    def close(self) -> None:
        self._bar.close()


def _run(options: argparse.Namespace) -> int:
    study = STUDIES[options.study]
    settings = read_settings(study, options)
    for path in (options.json, options.figures, options.markdown):
        check_writable(path)
    engine = make_engine(options.engine, workers=options.workers, address=options.address)
    progress = _Progress(is_hidden=options.no_progress)
    try:
        results = run_study(study, settings, options.out, engine, progress.show)
    except KeyboardInterrupt:
        progress.close()
        kept = f"{progress.finished} of {progress.total} episodes are kept in {options.out}"
        print(f"stageroute: interrupted; {kept}: run it again to go on", file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        progress.close()
    summary = study.summarise(results)
    print(to_text(summary))
    if options.markdown is not None:
        options.markdown.write_text(to_markdown(summary), encoding="utf-8")
    if options.figures is not None:
        write_figures(options.figures, results)
    write_json(options.json, results.to_json())
    return 0
