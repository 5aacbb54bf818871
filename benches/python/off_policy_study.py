"""Off-policy estimates against the truth, over many simulated logs.

    python benches/python/off_policy_study.py --seeds 300 [--data FILE --weights FILE] [--json FILE]

Each seed replays a `StageRouter` over queries drawn from a table of outcomes, with the decision log
on, then evaluates mixtures whose true value the table knows: in logs of a router with 4 slots and
with room for all models, each as it is and with a share of the queries explored. Printed are bias,
root mean square error and median standard error, all in percent of the true value, and how often
95 % intervals cover it.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from typing import Annotated, Final

import numpy as np
from cyclopts import App, Parameter

from stageroute import Decision, DecisionBatch, DecisionLog, Model, StageRouter, solve_deployment
from stageroute.cli.app import SEVERAL
from stageroute.cli.output import Json, say
from stageroute.cli.settings import Table, workload_of
from stageroute.datasets import OutcomeTable
from stageroute.errors import ExcludedError, InvalidInputError, OverlapError
from stageroute.files import write_json
from stageroute.off_policy import LoggedData, Outcome, Target, as_target, best_mixture, evaluate
from stageroute.off_policy.estimators import ESTIMATORS
from stageroute.replay.parallel import run_jobs, silence_router

LITTLE_CARRIED: Final = 0.2
BUDGET: Final = 0.001
CAP: Final = 0.5
STAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Logging:
    """How a log comes about: slots, and the share of the queries that are explored."""

    name: str
    max_deployed: int
    explored: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One estimate of one log beside the truth."""

    logging: str
    target: str
    metric: str
    estimator: str
    seed: int
    truth: float
    value: float
    standard_error: float
    covers: bool
    carried: float


def loggings(num_models: int) -> list[Logging]:
    """Name the kinds of logs."""
    return [
        Logging("4 slots", 4, 0.0),
        Logging("4 slots, 5 % explored", 4, 0.05),
        Logging("all live", num_models, 0.0),
        Logging("all live, 5 % explored", num_models, 0.05),
    ]


def make_log(table: OutcomeTable, logging: Logging, queries: int, seed: int) -> LoggedData:
    """Replay a router over i.i.d. queries; return its log with what they brought."""
    generator, coin = np.random.default_rng(seed), random.Random(seed)
    rows = generator.choice(table.num_rows, size=queries, p=table.weights)
    prices = table.mean_cost().tolist()
    arms = {name: arm for arm, name in enumerate(table.models)}
    batches: list[DecisionBatch] = []
    outcomes: dict[int, Outcome] = {}
    with StageRouter(
        [Model(name, CAP, price) for name, price in zip(table.models, prices, strict=True)],
        budget=BUDGET,
        max_deployed=logging.max_deployed,
        stage_queries=queries // STAGES,
        controller="inline",
        decision_log=DecisionLog(batches.append, capacity=queries, seconds=3_600.0),
        seed=seed,
    ) as router:
        for row in rows.tolist():
            is_explored = coin.random() < logging.explored
            decision = explore(router, coin) if is_explored else router.route()
            arm = arms[decision.model]
            outcome = Outcome(float(table.reward[row, arm]), float(table.cost[row, arm]))
            outcomes[decision.id] = outcome
            router.observe(decision, reward=outcome.reward, cost=outcome.cost)
    return LoggedData.from_decisions(chain.from_iterable(batches), outcomes)


def explore(router: StageRouter, coin: random.Random) -> Decision:
    """Have one of the live models serve, all alike; draw again if a stage has just replaced it."""
    while True:
        try:
            return router.route(allowed=[coin.choice(router.deployment.models)])
        except ExcludedError:
            continue


def mixtures(table: OutcomeTable, max_deployed: int) -> dict[str, dict[str, float]]:
    """Return the fixed targets by name."""
    size = table.num_models
    oracle = solve_deployment(
        table.mean_reward(), table.mean_cost(), np.full(size, CAP), BUDGET, max_deployed
    ).weights
    used = np.flatnonzero(oracle > 0.0)
    named = {
        "oracle": oracle,
        "oracle's models alike": np.isin(np.arange(size), used) / used.size,
        "all models alike": np.full(size, 1.0 / size),
    }
    return {
        name: {table.models[arm]: float(shares[arm]) for arm in np.flatnonzero(shares)}
        for name, shares in named.items()
    }


def study(table: OutcomeTable, queries: int, job: tuple[Logging, int]) -> list[Finding]:
    """Evaluate every target on one log; a target that it says nothing of has no finding."""
    logging, seed = job
    data = make_log(table, logging, queries, seed)
    best = best_mixture(data, BUDGET, max_deployed=logging.max_deployed, throughput_cap=CAP)
    targets: dict[str, Target | dict[str, float]] = {"best under the budget": best}
    targets |= mixtures(table, logging.max_deployed)
    findings = []
    for name, target in targets.items():
        try:
            findings += _findings(table, data, as_target(data, target), name, job)
        except (OverlapError, InvalidInputError):
            continue
    return findings


def _findings(
    table: OutcomeTable, data: LoggedData, target: Target, name: str, job: tuple[Logging, int]
) -> list[Finding]:
    evaluation = evaluate(data, target)
    order = [table.models.index(model) for model in data.models]
    shares = target.probabilities[target.first :].mean(axis=0)
    findings = []
    for metric, means in (("reward", table.mean_reward()), ("cost", table.mean_cost())):
        found, truth = getattr(evaluation, metric), float(shares @ means[order])
        findings += [
            Finding(
                logging=job[0].name,
                target=name,
                metric=metric,
                estimator=estimator,
                seed=job[1],
                truth=truth,
                value=x.value,
                standard_error=x.standard_error,
                covers=x.low <= truth <= x.high,
                carried=found.carried,
            )
            for estimator, x in found.estimates.items()
        ]
    return findings


def summarise(findings: Sequence[Finding]) -> str:
    """Return tables in Markdown: by log and target, and where little is carried."""
    little = [finding for finding in findings if finding.carried < LITTLE_CARRIED]
    estimators = list(ESTIMATORS)
    lines = [
        f"| log | target | seeds | carried % | outcome | {' | '.join(estimators)} |",
        "|---|---|---:|---:|---|" + "---:|" * len(estimators),
    ]
    for logging, target, metric in sorted({(f.logging, f.target, f.metric) for f in findings}):
        group = [
            f for f in findings if (f.logging, f.target, f.metric) == (logging, target, metric)
        ]
        seeds, carried = len({f.seed for f in group}), np.mean([f.carried for f in group])
        cells = " | ".join(_cell(group, estimator) for estimator in estimators)
        lines.append(
            f"| {logging} | {target} | {seeds} | {100 * carried:.0f} | {metric} | {cells} |"
        )
    lines += [
        "",
        f"| less than {LITTLE_CARRIED:.0%} carried | outcome | {' | '.join(estimators)} |",
        "|---|---|" + "---:|" * len(estimators),
    ]
    for logging, metric in sorted({(f.logging, f.metric) for f in little}):
        group = [f for f in little if (f.logging, f.metric) == (logging, metric)]
        cells = " | ".join(_cell(group, estimator) for estimator in estimators)
        lines.append(f"| {logging} | {metric} | {cells} |")
    return "\n".join(lines)


def _cell(findings: Sequence[Finding], estimator: str) -> str:
    """Bias, RMSE and median standard error in percent of the truth, and coverage in percent."""
    mine = [f for f in findings if f.estimator == estimator]
    error = np.array([f.value / f.truth - 1.0 for f in mine])
    spread = np.median([f.standard_error / f.truth for f in mine])
    covered = np.mean([f.covers for f in mine])
    rmse = np.sqrt(np.square(error).mean())
    percent = f"{100 * error.mean():+.2f} / {100 * rmse:.2f} / {100 * spread:.2f}"
    return f"{percent} / {100 * covered:.1f}"


app = App(help=__doc__, default_parameter=SEVERAL, result_action="return_value")


@app.default
def report(
    *,
    logs: tuple[str, ...] = (),
    queries: int = 20_000,
    seeds: int = 20,
    first_seed: int = 0,
    workers: int | None = None,
    source: Annotated[Table | None, Parameter(name="*")] = None,
    json: Json = None,
) -> int:
    """Run the study and print its table.

    Parameters
    ----------
    logs
        Only these kinds of logs.
    queries
        T, of each log.
    seeds, first_seed
        How many logs of each kind, and the seed of the first.
    workers
        Processes; one for each core by default.
    """
    silence_router()
    table = workload_of(None, source or {}).table()
    kinds = [x for x in loggings(table.num_models) if x.name in (logs or [x.name])]
    jobs = [(x, seed) for x in kinds for seed in range(first_seed, first_seed + seeds)]
    findings = list(chain.from_iterable(run_jobs(partial(study, table, queries), jobs, workers)))
    say(f"{table.name}: T = {queries:,}, b = {BUDGET:g}, {seeds} seeds a log", json)
    say("bias / RMSE / median standard error / coverage, in percent", json)
    say(summarise(findings), json)
    if json is not None:
        write_json(json, [asdict(finding) for finding in findings])
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    status: int = app(arguments)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
