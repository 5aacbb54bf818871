"""``stageroute evaluate`` on the command line."""

from pathlib import Path
from typing import Annotated, Final

import numpy as np
from cyclopts import Parameter

from stageroute._core import __version__
from stageroute.cli.output import Json, check_writable, say
from stageroute.errors import InvalidInputError
from stageroute.off_policy.data import LoggedData
from stageroute.off_policy.estimators import ESTIMATORS
from stageroute.off_policy.evaluation import Evaluation
from stageroute.off_policy.evaluation import evaluate as evaluate_target
from stageroute.off_policy.files import JoinedLog, read_log
from stageroute.off_policy.targets import as_target, best_mixture
from stageroute.tables import format_table

FORMAT: Final = 1
"""Of the JSON."""

PASSED_OVER: Final = {
    "broken_lines": "broken lines passed over",
    "repeated": "repeated outcomes passed over: the first stands",
    "unmatched": "outcomes of decisions that are not in the log passed over",
}
"""What a log is said to hold beside its decisions."""

BEST: Final = Parameter(group="The best mixture, chosen by the log itself")


def evaluate(
    log: Path,
    /,
    *,
    outcomes: Path | None = None,
    mixture: tuple[str, ...] = (),
    best_under_budget: Annotated[tuple[float, ...], BEST] = (),
    max_deployed: Annotated[int | None, BEST] = None,
    throughput_cap: Annotated[float, BEST] = 1.0,
    live: Annotated[tuple[str, ...] | None, BEST] = None,
    group: str | None = None,
    clip: float | None = None,
    level: float = 0.95,
    json: Json = None,
) -> int:
    """Estimate from a decision log and its outcomes what other mixtures of models would have done.

    Parameters
    ----------
    log
        A .jsonl file or a folder of .parquet files.
    outcomes
        id, reward, cost (.jsonl, .csv, .parquet); by default fields of the log.
    mixture
        Mixtures to evaluate: MODEL=SHARE,..., as in gpt-4=0.2,mixtral=0.8.
    best_under_budget
        b, USD per query.
    max_deployed
        By default any number.
    throughput_cap
        Of each model.
    live
        Only of these models, as a deployment of them.
    group
        A field known before the decision, such as the task: estimate model by group.
    clip
        Largest weight.
    level
        Of the intervals.
    """
    if not mixture and not best_under_budget:
        raise InvalidInputError("nothing to evaluate: give --mixture or --best-under-budget")
    check_writable(json)
    joined = read_log(log, outcomes, group=group)
    targets = [as_target(joined.data, _mixture(text)) for text in mixture]
    targets += [
        best_mixture(
            joined.data,
            budget,
            max_deployed=max_deployed,
            throughput_cap=throughput_cap,
            live=live,
        )
        for budget in best_under_budget
    ]
    evaluations = [
        evaluate_target(joined.data, target, level=level, clip=clip) for target in targets
    ]
    values = {
        "format": FORMAT,
        "version": __version__,
        "models": list(joined.data.models),
        "decisions": len(joined.data),
        "logged": _logged(joined.data),
        **{count: getattr(joined, count) for count in PASSED_OVER},
        "evaluations": [evaluation.to_json() for evaluation in evaluations],
    }
    text = [_format_log(joined), *map(_format_evaluation, evaluations), LEGEND]
    say("\n\n".join(text), json, lambda: values)
    return 0


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
    for name, what in PASSED_OVER.items():
        if count := getattr(joined, name):
            lines.append(f"{count:,} {what}")
    return "\n".join(lines)


def _format_evaluation(evaluation: Evaluation) -> str:
    metrics = {"reward": evaluation.reward, "cost": evaluation.cost}
    known = {name: metric for name, metric in metrics.items() if metric is not None}
    heads, rows = [evaluation.target], [[estimator] for estimator in ESTIMATORS]
    lines = []
    for name, metric in known.items():
        heads += [name, f"{100 * evaluation.level:g} % interval"]
        for row in rows:
            estimate = metric.estimates[row[0]]
            row += [f"{estimate.value:.5g}", f"{estimate.low:.5g} to {estimate.high:.5g}"]
        lines.append(
            f"{name}: {metric.decisions:,} decisions, worth {metric.effective_sample_size:,.0f}; "
            f"largest weight {metric.largest_weight:.1f}; carried {metric.carried:.1%}"
        )
        lines += [f"{name}: {note}" for note in metric.notes]
    if evaluation.first:
        mixture = ",".join(f"{name}={share:.4f}" for name, share in evaluation.mixture.items())
        lines.append(f"chosen from the first {evaluation.first:,} decisions: {mixture}")
    return "\n".join([format_table(heads, rows), *lines])


LEGEND = """\
ips, snips   inverse propensity score, and self-normalised for each model
dr           doubly robust: a running mean of each model, corrected by ips
adaptive_dr  the same, with less weight where the log's probability is small
worth        effective sample size: this many decisions of the target itself say as much
carried      share of the target's traffic where the log could not have drawn its model; valued
             like the model's other decisions"""
