"""``stageroute evaluate`` on the command line."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stageroute._core import __version__
from stageroute.cli_common import check_writable, write_json
from stageroute.errors import InvalidInputError
from stageroute.lab.bench_report import align
from stageroute.off_policy.data import LoggedData
from stageroute.off_policy.estimators import ESTIMATORS
from stageroute.off_policy.evaluation import Evaluation, MetricEvaluation, evaluate
from stageroute.off_policy.files import JoinedLog, read_log
from stageroute.off_policy.targets import Target, as_target, best_mixture

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["register"]


def register(commands: "_SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "evaluate",
        help="what another policy would have earned and spent, from a decision log",
        description="Estimate from a decision log and its outcomes what other mixtures of models "
        "would have earned and spent per query.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=_evaluate)
    parser.add_argument(
        "log", type=Path, metavar="LOG", help="a .jsonl file or a folder of .parquet files"
    )
    parser.add_argument(
        "--outcomes", type=Path, metavar="FILE",
        help="id, reward, cost (.jsonl, .csv, .parquet); by default fields of the log",
    )  # fmt: skip
    parser.add_argument(
        "--mixture", nargs="+", default=[], metavar="MODEL=SHARE,...",
        help="mixtures to evaluate, as in gpt-4=0.2,mixtral=0.8",
    )  # fmt: skip
    best = parser.add_argument_group("the best mixture, chosen by the log itself")
    best.add_argument(
        "--best-under-budget", type=float, nargs="+", default=[], metavar="B", help="USD per query"
    )
    best.add_argument("--max-deployed", type=int, metavar="M_MAX", help="by default any number")
    best.add_argument("--throughput-cap", type=float, default=1.0, metavar="ALPHA", help="of each")
    best.add_argument(
        "--live", nargs="+", metavar="MODEL", help="only of these models, as a deployment of them"
    )
    parser.add_argument(
        "--group", metavar="FIELD",
        help="a field known before the decision, such as the task: estimate model by group",
    )  # fmt: skip
    parser.add_argument("--clip", type=float, metavar="WEIGHT", help="largest weight")
    parser.add_argument("--level", type=float, default=0.95, help="of the intervals")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, for machines")


def _evaluate(options: argparse.Namespace) -> int:
    if not options.mixture and not options.best_under_budget:
        raise InvalidInputError("nothing to evaluate: give --mixture or --best-under-budget")
    check_writable(options.json)
    joined = read_log(options.log, options.outcomes, group=options.group)
    evaluations = [
        evaluate(joined.data, target, level=options.level, clip=options.clip)
        for target in _targets(options, joined.data)
    ]
    print("\n\n".join([_format_log(joined), *map(_format_evaluation, evaluations), LEGEND]))
    write_json(options.json, _to_json(joined, evaluations))
    return 0


def _targets(options: argparse.Namespace, data: LoggedData) -> list[Target]:
    mixtures = [as_target(data, _mixture(text)) for text in options.mixture]
    best = [
        best_mixture(
            data,
            budget,
            max_deployed=options.max_deployed,
            throughput_cap=options.throughput_cap,
            live=options.live,
        )
        for budget in options.best_under_budget
    ]
    return mixtures + best


def _mixture(text: str) -> dict[str, float]:
    mixture = {}
    for part in text.split(","):
        name, _, share = part.rpartition("=")
        try:
            mixture[name] = float(share)
        except ValueError:
            raise InvalidInputError(
                f"--mixture {text!r}: must be MODEL=SHARE,..., as in gpt-4=0.2,mixtral=0.8"
            ) from None
    return mixture


def _logged(data: LoggedData) -> dict[str, dict[str, float]]:
    """Return what the logged policy itself earned and spent."""
    figures = {}
    for metric in ("reward", "cost"):
        values = getattr(data, metric)
        known = values[~np.isnan(values)]
        if known.size:
            figures[metric] = {"decisions": known.size, "mean": float(known.mean())}
    return figures


def _format_log(joined: JoinedLog) -> str:
    lines = [f"{len(joined.data):,} decisions over {len(joined.data.models)} models"]
    for metric, figures in _logged(joined.data).items():
        unit = " USD" if metric == "cost" else ""
        lines.append(
            f"logged {metric}: {figures['mean']:.6g}{unit} per query, known for "
            f"{figures['decisions']:,} decisions"
        )
    for count, what in (
        (joined.broken_lines, "broken lines passed over"),
        (joined.repeated, "repeated outcomes passed over: the first stands"),
        (joined.unmatched, "outcomes of decisions that are not in the log passed over"),
    ):
        if count:
            lines.append(f"{count:,} {what}")
    return "\n".join(lines)


def _format_evaluation(evaluation: Evaluation) -> str:
    metrics = {"reward": evaluation.reward, "cost": evaluation.cost}
    known = {name: metric for name, metric in metrics.items() if metric is not None}
    interval = f"{100 * evaluation.level:g} % interval"
    rows = [[evaluation.target, *(text for name in known for text in (name, interval))]]
    rows += [
        [estimator, *(text for metric in known.values() for text in _cells(metric, estimator))]
        for estimator in ESTIMATORS
    ]
    lines = [align(rows)]
    for name, metric in known.items():
        lines.append(
            f"{name}: {metric.decisions:,} decisions, worth {metric.effective_sample_size:,.0f}; "
            f"largest weight {metric.largest_weight:.1f}; carried {metric.carried:.1%}"
        )
        lines += [f"{name}: {note}" for note in metric.notes]
    if evaluation.first:
        mixture = ",".join(f"{name}={share:.4f}" for name, share in evaluation.mixture.items())
        lines.append(f"chosen from the first {evaluation.first:,} decisions: {mixture}")
    return "\n".join(lines)


def _cells(metric: MetricEvaluation, estimator: str) -> tuple[str, str]:
    estimate = metric.estimates[estimator]
    return f"{estimate.value:.5g}", f"{estimate.low:.5g} to {estimate.high:.5g}"


LEGEND = """\
ips, snips   inverse propensity score, and self-normalised for each model
dr           doubly robust: a running mean of each model, corrected by ips
adaptive_dr  the same, with less weight where the log's probability is small
worth        effective sample size: so many decisions of the target itself say as much
carried      share of the target's traffic where the log could not have drawn its model; valued
             like the model's other decisions"""


def _to_json(joined: JoinedLog, evaluations: list[Evaluation]) -> dict[str, Any]:
    return {
        "version": __version__,
        "models": list(joined.data.models),
        "decisions": len(joined.data),
        "logged": _logged(joined.data),
        "broken_lines": joined.broken_lines,
        "repeated": joined.repeated,
        "unmatched": joined.unmatched,
        "evaluations": [evaluation.to_json() for evaluation in evaluations],
    }
