"""What experiments are made of, and what each part refuses: by name, value and rule."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from stageroute.datasets import OutcomeTable, routerbench_synthetic
from stageroute.datasets.streams import Regime, draw_stream
from stageroute.errors import DatasetError, InvalidInputError
from stageroute.lab.statistics import fit_power_law
from stageroute.lab.studies.scenarios import ScenarioSettings
from stageroute.policies import Limits, RewardPrior, Setting, make_policy
from stageroute.policies.oracles.context import joint_optimum
from stageroute.policies.ours.contexts import family_features, prompt_features
from stageroute.replay import replay
from stageroute.workloads import (
    Adversarial,
    BetterNewcomer,
    BuiltIn,
    Changing,
    Clocked,
    Delayed,
    LargePool,
    NeedleArrivals,
    Noisy,
    OtherPrices,
    Outage,
    PriceCut,
    RandomArrivals,
    Repeated,
    SilentRegression,
    SlowDecline,
    Sparse,
    StateOfTheArt,
    TableFile,
    parse_workload,
    workload_from_json,
)
from stageroute.workloads.market import draw_suite

BASE, NAN = BuiltIn(), float("nan")
MODELS = ("cheap", "middling", "expensive")
TABLE = OutcomeTable("small", MODELS, np.full((200, 3), 0.5), np.full((200, 3), 0.001))
WEIGHTED = replace(TABLE, weights=np.arange(1.0, 201.0))
STREAM = draw_stream(TABLE, 0)
LIMITS = Limits(0.001)
ROUTING = np.ones(1), np.array([[0.5, 0.6]]), np.array([[1.0, 2.0]])
draw = partial(draw_stream, TABLE, 0)

WORKLOADS = [
    (lambda: BuiltIn(num_initial=0), "num_initial = 0"),
    (lambda: BuiltIn(order="sorted"), "order = 'sorted': must be one of iid, shuffled"),
    (lambda: BuiltIn(arrival_order="best"), "arrival_order = 'best': must be one of table"),
    (lambda: TableFile(""), "path = '': must name a file"),
    (lambda: NeedleArrivals(models_per_batch=1), "models_per_batch = 1"),
    (lambda: NeedleArrivals(num_batches=0), "num_batches = 0"),
    (lambda: NeedleArrivals(advantage=0.0), "advantage = 0.0"),
    (lambda: NeedleArrivals(cost=NAN), "cost = nan"),
    (lambda: NeedleArrivals(advantage=5.0).stream(100, 0), "gap = 2.2"),
    (lambda: NeedleArrivals().table(), "needle arrivals have no table of their own"),
    (lambda: StateOfTheArt(num_models=0), "num_models = 0: must be a whole number in [1, 10000]"),
    (lambda: StateOfTheArt("lists", num_models=3), "num_models = 3: the lists in `folder`"),
    (lambda: StateOfTheArt(grades=1), "grades = 1"),
    (lambda: StateOfTheArt(num_rows=0), "num_rows = 0"),
    (lambda: StateOfTheArt(suite=-1), "suite = -1"),
    (lambda: LargePool(10_001), "num_models = 10001"),
    (lambda: LargePool(num_initial=0), "num_initial = 0"),
    (lambda: draw_suite(0, 0), "num_models = 0"),
]
ON_TOP = [
    (lambda: SilentRegression(1.0), "factor = 1.0: must be in (0, 1)"),
    (lambda: PriceCut(0.0), "factor = 0.0"),
    (lambda: SilentRegression(budget=0.0), "budget = 0.0"),
    (lambda: Outage(0.0), "duration = 0.0"),
    (lambda: SlowDecline(duration=1.5), "duration = 1.5"),
    (lambda: SlowDecline(num_steps=0), "num_steps = 0"),
    (lambda: Changing(BASE, Outage(), at=1.0), "at = 1.0"),
    (lambda: Changing(BASE, "outage"), "change = 'outage': must be a Change"),  # type: ignore[arg-type]
    (lambda: Changing("builtin", Outage()), "base = 'builtin'"),  # type: ignore[arg-type]
    (lambda: Changing(BASE, Outage()).stream(1, 0), "at = 1: must be a query in [1, 0]"),
    (lambda: Changing(Noisy(BASE), Outage()).stream(9, 0), "change it first, then add noise"),
    (lambda: Changing(BASE, Outage(), is_announced=True), "only a PriceCut can be announced"),
    (lambda: Adversarial(Changing(BASE, Outage())).stream(9, 0), "put the change on top"),
    (lambda: Adversarial(BASE, "worst"), "order = 'worst': must be one of bad_luck_first"),
    (lambda: Adversarial(BASE, share=0.0), "share = 0.0"),
    (lambda: Adversarial(BASE, model="gpt-9").stream(9, 0), "model = 'gpt-9': must be of "),
    (lambda: OtherPrices(BASE, 8.5), "spread = 8.5: must be in [0, 8]"),
    (
        lambda: Adversarial(NeedleArrivals(), "task_blocks").stream(9, 0),
        "has no tasks, which order = 'task_blocks' needs",
    ),
    (lambda: Clocked(BASE, ""), "trace = ''"),
    (lambda: Noisy(BASE, -0.1), "noise = -0.1"),
    (lambda: Noisy(BASE, flips=1.5), "flips = 1.5"),
    (lambda: Noisy(BASE, bias=-2.0), "bias = -2.0"),
    (lambda: Noisy(BASE, favourite="gpt-9").stream(10, 0), "favourite = 'gpt-9'"),
    (lambda: Delayed(BASE, -1), "queries = -1"),
    (lambda: Delayed(BASE, 1, "cost"), "what = 'cost': did you mean 'costs'?"),
    (lambda: Repeated(BASE, window=-2), "window = -2"),
    (lambda: Repeated(BASE, copies=0), "copies = 0"),
    (lambda: Sparse(BASE, 1.5), "share = 1.5: must be in [0, 1]"),
    (lambda: RandomArrivals(BASE, 0.0), "within"),
    (lambda: RandomArrivals(BASE, 1.5), "within"),
    (lambda: RandomArrivals(BASE, NAN), "within"),
    (lambda: BetterNewcomer(BASE, advantage=0.0), "advantage"),
    (lambda: BetterNewcomer(BASE, earliest=0.5, latest=0.4), "earliest and latest"),
    (lambda: BetterNewcomer(BASE, advantage=0.9).table(), "must be at most"),
    (lambda: BetterNewcomer(Noisy(BASE)).stream(10, 0), "no retirements, changes"),
]
DESCRIPTIONS = [
    (partial(workload_from_json, {"kind": "other"}), "kind = 'other': must be one of builtin"),
    (partial(workload_from_json, {"kind": "needle", "size": 3}), "kind 'needle'"),
    (partial(workload_from_json, {"num_initial": 3}), "kind = None"),
    (partial(workload_from_json, {"kind": "outage"}), "describes no workload"),
    (partial(workload_from_json, {"kind": "pool", "grades": 1}), "grades = 1"),
    (partial(parse_workload, "sotas"), "'sotas': must be one of builtin, file, sota, pool, needle"),
    (partial(parse_workload, ""), "workload = '': must be one of builtin"),
    (partial(parse_workload, "builtin+rain"), "one of regression, price_cut, outage, decline, adv"),
    (partial(parse_workload, "sota:N"), "'N' must be an option, name=value"),
    (partial(parse_workload, "sota:N="), "'N=' must be an option, name=value"),
    (partial(parse_workload, "sota:N=many"), "sota: num_models = 'many': must be a whole number"),
    (partial(parse_workload, "needle:advantage=big"), "advantage = 'big': must be a number"),
    (partial(parse_workload, "file:x,drop_missing=1"), "drop_missing = '1': must be true or false"),
    (partial(parse_workload, "pool:M=3"), "no option 'M'; options are num_models, num_initial"),
    (partial(parse_workload, "builtin:retirements=x"), "there is no option 'retirements'"),
    (partial(parse_workload, "builtin+noisy:base=1"), "noisy: there is no option 'base'"),
    (partial(parse_workload, "file"), "file: "),
    (partial(parse_workload, "pool:N=0"), "num_models = 0"),
]
STREAMS = [
    (partial(draw, order="random"), "order = 'random': must be one of"),
    (partial(draw, num_queries=0), "num_queries = 0: must be at least 1"),
    (partial(draw, num_initial=4), "num_initial = 4: must be in [1, 3]"),
    (partial(draw, arrival_order="release"), "arrival_order = 'release': must be one of"),
    (partial(draw, arrival_order=MODELS[:2]), "must name each of the table's models once"),
    (partial(draw, retirements={"x": 3}), "retirements names 'x'; the table's models are cheap"),
    (partial(draw, retirements={"cheap": 0}), "each must be after the model's arrival"),
    (partial(draw_stream, WEIGHTED, 0, order="shuffled"), "the table has weights"),
    (partial(replace, STREAM, delay=-1), "delay = -1: must be a number of queries"),
    (partial(replace, STREAM, times=np.zeros(3)), "times.shape = (3,)"),
    (partial(replace, STREAM, times=-np.arange(200.0)), "= -1.0: times must be ascending"),
    (partial(replace, STREAM, reported_reward=np.zeros((2, 2))), "reported_reward.shape"),
    (partial(replace, STREAM, regimes=(Regime(1, *np.zeros((2, 3))),)), "must start at 0"),
    (partial(replace, TABLE, prompts=("one",)), "prompts must be 200 strings"),
] + [
    (partial(routerbench_synthetic, *arguments), "must be a whole number, ")
    for arguments in ((0, 0), (-1, 0), (1.5, 0), (True, 0), (5, -1), (5, None), (5, "0"))
]


FILES = [
    (lambda: TableFile("nowhere.csv").stream(10, 0), "nowhere"),
    (lambda: Clocked(BASE, "nowhere.parquet").stream(10, 0), "must be a parquet file"),
    (partial(replace, TABLE, prompts=("one",)), "prompts must be 200 strings"),
]


def made(policy: str, limits: Limits = LIMITS, num_stages: int = 1) -> object:
    return make_policy(policy, Setting(STREAM, limits, num_stages, 0))


POLICIES = [
    (lambda: replay(made("uniform"), STREAM, 0), "num_stages = 0: must be in [1, 200]"),  # type: ignore[arg-type]
    (lambda: made("uniform", Limits(1.0, throughput_cap=(0.5,) * 2)), "throughput_cap has 2 elem"),
    (lambda: made("best"), "policy = 'best': must be one of stageroute"),
    (lambda: made("linucb-task"), "has no tasks, which the policy 'linucb-task' needs"),
    (partial(joint_optimum, *ROUTING, np.full(2, 0.5), 2.0), "sum of the caps = "),
    (partial(joint_optimum, *ROUTING, np.ones(2), 1.0), "must be below the budget"),
    (partial(prompt_features, TABLE), "rows with a prompt = 0: must be all 200"),
    (partial(family_features, TABLE), "has no tasks"),
    (lambda: replace(LIMITS, start_cost=-1.0), "start_cost = -1.0: must be finite and not neg"),
    (lambda: replace(LIMITS, start_stages=0), "start_stages = 0: must be a whole number"),
    (lambda: RewardPrior("rumours"), "source"),
    (lambda: RewardPrior("scores", -0.1), "error"),
    (lambda: RewardPrior("scores", 0.1, 0), "weight"),
    (partial(fit_power_law, [10], [[1.0, 2.0]]), "sizes"),
    (partial(fit_power_law, [10, 10], [[1.0, 2.0], [2.0, 3.0]]), "sizes"),
    (partial(fit_power_law, [0, 10], [[1.0, 2.0], [2.0, 3.0]]), "sizes"),
    (partial(fit_power_law, [10, 100], [[1.0, 2.0]]), "samples"),
    (lambda: ScenarioSettings(scenarios=("delay",)), "did you mean 'delayed'?"),
    (lambda: ScenarioSettings(budgets=()), "budgets = (): must name at least one"),
]


@pytest.mark.parametrize(
    ("error", "make", "text"),
    [(DatasetError, *row) for row in FILES]
    + [
        (InvalidInputError, *row)
        for row in (*WORKLOADS, *ON_TOP, *DESCRIPTIONS, *STREAMS, *POLICIES)
    ],
)
def test_bad_arguments(error: type[Exception], make: Callable[[], object], text: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)
