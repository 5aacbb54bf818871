"""Off-policy estimates: against plain loops, against the truth, and what they refuse to say."""

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stageroute import LoggedDecision, Model, StageRouter, solve_routing_lp
from stageroute.datasets import OutcomeTable
from stageroute.decision_log.log import DecisionLog
from stageroute.errors import InvalidInputError, OverlapError
from stageroute.off_policy import LoggedData, Outcome, as_target, best_mixture, evaluate
from stageroute.off_policy.estimators import ESTIMATORS
from stageroute.off_policy.evaluation import MetricEvaluation

sys.path.insert(0, str(Path(__file__).parents[2] / "benches" / "python"))

import off_policy_study

Floats = NDArray[np.float64]

MODELS = ("a", "b", "c")
REWARD, COST = np.array([0.3, 0.5, 0.8]), np.array([0.001, 0.002, 0.01])
MIXTURE = {"a": 0.5, "b": 0.2, "c": 0.3}
SHARES = np.array([0.5, 0.2, 0.3])


def draw_log(seed: int, queries: int = 600, *, zeros: bool = False) -> LoggedData:
    """Draw a log of independent decisions with random probabilities, some 0 if asked for."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(3), queries) * 0.7 + 0.1
    if zeros:
        probabilities[np.arange(queries), generator.integers(0, 3, queries)] = 0.0
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    arm = (generator.random(queries)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1)
    arm = np.minimum(arm, 2)
    reward = (generator.random(queries) < REWARD[arm]).astype(float)
    cost = COST[arm] * generator.uniform(0.5, 1.5, queries)
    return LoggedData(MODELS, arm, probabilities, reward, cost)


def on(data: LoggedData, policy: Any, metric: str = "reward", **options: Any) -> MetricEvaluation:
    """Evaluate a policy on one metric."""
    found = getattr(evaluate(data, policy, **options), metric)
    assert isinstance(found, MetricEvaluation)
    return found


def by_loops(data: LoggedData, policy: Floats, estimator: str) -> tuple[float, float]:
    """Do what the documentation of the estimators says, one decision at a time."""
    rows, models = range(len(data)), range(len(data.models))
    weight = np.ones(len(data)) if data.weights is None else np.asarray(data.weights)
    group = ["" for _ in rows] if data.group is None else data.group.tolist()
    h: dict[tuple[int, int], float] = {}
    score: dict[tuple[int, int], float] = {}
    seen: list[tuple[str, int, float]] = []
    for t in rows:
        for m in models:
            p, y = data.probabilities[t, m], data.reward[t]
            inverse = 1.0 / p if data.arm[t] == m else 0.0
            everything = [r for _, _, r in seen]
            same = [r for _, arm, r in seen if arm == m]
            cell = [r for g, arm, r in seen if arm == m and g == group[t]]
            q = sum(everything) / (len(seen) + 1)
            q = (sum(same) + q) / (len(same) + 1)
            q = (sum(cell) + q) / (len(cell) + 1) if data.group is not None else q
            robust = q + inverse * (y - q)
            factors = {"ips": p > 0, "snips": inverse, "dr": p > 0, "adaptive_dr": p**0.5}
            scores = {"ips": inverse * y, "snips": y, "dr": robust, "adaptive_dr": robust}
            h[t, m] = weight[t] * policy[t, m] * factors[estimator]
            score[t, m] = scores[estimator]
        seen.append((group[t], int(data.arm[t]), float(data.reward[t])))
    share = weight / weight.sum()
    mass, total, theta = {}, {}, {}
    for g in set(group):
        members = [t for t in rows if group[t] == g]
        for m in models:
            mass[g, m] = sum(share[t] * policy[t, m] for t in members)
            total[g, m] = sum(h[t, m] for t in members)
            theta[g, m] = sum(h[t, m] * score[t, m] for t in members) / total[g, m]
    value = sum(mass[c] * theta[c] for c in mass)
    square = 0.0
    for t in rows:
        error = 0.0
        for m in models:
            c = group[t], m
            error += mass[c] * h[t, m] / total[c] * (score[t, m] - theta[c])
            error += share[t] * policy[t, m] * (theta[c] - value)
        square += error**2
    return value, square**0.5


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("case", ["plain", "zeros", "groups and weights"])
def test_estimates_are_what_is_documented(estimator: str, case: str) -> None:
    generator = np.random.default_rng(1)
    data = draw_log(2, 120, zeros=case == "zeros")
    if case == "groups and weights":
        group = generator.choice(["x", "y"], 120)
        data = replace(data, group=group, weights=generator.uniform(0.5, 2.0, 120))
    policy = generator.dirichlet(np.ones(3), 120)
    estimate = on(data, policy).estimates[estimator]
    value, error = by_loops(data, policy, estimator)
    assert estimate.value == pytest.approx(value, rel=1e-10)
    assert estimate.standard_error == pytest.approx(error, rel=1e-10)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.959964 * error, rel=1e-6)


def test_with_full_overlap_ips_is_the_mean_of_the_textbook() -> None:
    data = draw_log(3)
    rows = np.arange(len(data))
    free = np.random.default_rng(4).dirichlet(np.ones(3), len(data))
    # Cells sum to the mean over decisions where the target is the same at each, too.
    for policy in (free, np.tile(SHARES, (len(data), 1)), data.probabilities):
        ratio = policy[rows, data.arm] / data.probabilities[rows, data.arm]
        scores = ratio * data.cost
        found = on(data, lambda _: policy, "cost")  # noqa: B023  # called here
        ips = found.estimates["ips"]
        assert ips.value == pytest.approx(scores.mean(), rel=1e-12)
        assert ips.standard_error == pytest.approx(scores.std() / np.sqrt(len(data)), rel=1e-9)
        assert found.largest_weight == pytest.approx(ratio.max())
        size = ratio.sum() ** 2 / np.square(ratio).sum()
        assert found.effective_sample_size == pytest.approx(size)
        assert found.carried == 0.0
        assert found.notes == ()


def learning_logs(seeds: int, queries: int) -> list[LoggedData]:
    """Log bandits: the best mean so far, and one decision in five at random."""
    generator, runs = np.random.default_rng(0), np.arange(seeds)
    totals, counts = np.zeros((seeds, 3)), np.zeros((seeds, 3))
    probabilities = np.full((seeds, queries, 3), 0.2 / 3)
    arm, reward = np.zeros((seeds, queries), dtype=int), np.zeros((seeds, queries))
    for t in range(queries):
        best = np.argmax(totals / np.maximum(counts, 1.0), axis=1)
        probabilities[runs, t, best] += 0.8
        draw = generator.random(seeds)[:, None]
        chosen = (draw > probabilities[:, t, :2].cumsum(axis=1)).sum(axis=1)
        brought = generator.random(seeds) < REWARD[chosen]
        totals[runs, chosen] += brought
        counts[runs, chosen] += 1.0
        arm[:, t], reward[:, t] = chosen, brought
    logs = zip(arm, probabilities, reward, strict=True)
    return [LoggedData(MODELS, a, p, r, COST[a]) for a, p, r in logs]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["independent", "learning", "zeros"])
def test_intervals_cover_the_truth_and_errors_centre_at_0(kind: str) -> None:
    seeds, truth = 300, float(SHARES @ REWARD)
    if kind == "learning":
        logs = learning_logs(seeds, 1_500)
    else:
        logs = [draw_log(seed, 500, zeros=kind == "zeros") for seed in range(seeds)]
    errors = np.zeros((len(ESTIMATORS), seeds, 2))
    for seed, data in enumerate(logs):
        for k, estimate in enumerate(on(data, MIXTURE).estimates.values()):
            errors[k, seed] = estimate.value - truth, estimate.standard_error
    for name, (error, spread) in zip(ESTIMATORS, errors.transpose(0, 2, 1), strict=True):
        covered = np.mean(np.abs(error) <= 1.959964 * spread)
        # Three standard errors of 300 draws are 3.8 points around 95.
        assert 0.912 <= covered <= 0.988, (name, covered)
        assert abs(error.mean()) < 3.0 * error.std() / np.sqrt(seeds), name
        assert error.std() == pytest.approx(np.sqrt(np.square(spread).mean()), rel=0.15), name


@pytest.mark.slow
def test_on_logs_of_the_router_itself(small_table: OutcomeTable) -> None:
    """As the study does, in small: all models live, 5 % of the queries explored."""
    logging = off_policy_study.Logging("all live, explored", 3, 0.05)
    truth = {"reward": small_table.mean_reward(), "cost": small_table.mean_cost()}
    errors: dict[tuple[str, str], list[float]] = {}
    for seed in range(30):
        data = off_policy_study.make_log(small_table, logging, 1_500, seed)
        mixture = {"cheap": 0.4, "middling": 0.4, "expensive": 0.2}
        evaluation = evaluate(data, mixture)
        for metric, means in truth.items():
            value = float(np.array([0.4, 0.4, 0.2]) @ means)
            found = getattr(evaluation, metric)
            for name, estimate in found.estimates.items():
                error = (estimate.value - value) / estimate.standard_error
                errors.setdefault((metric, name), []).append(error)
    for key, error in errors.items():
        assert np.mean(np.abs(error) <= 1.959964) >= 0.85, key
        assert abs(np.mean(error)) < 0.5, key


@pytest.mark.slow
def test_the_study_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--seeds", "1", "--queries", "1500", "--workers", "1"]
    assert off_policy_study.main([*arguments, "--json", str(tmp_path / "o.json")]) == 0
    text = capsys.readouterr().out
    for expected in ("all live, 5 % explored", "best under the budget", "snips", "coverage"):
        assert expected in text


def test_dr_knows_groups() -> None:
    """Where the task decides what a model brings, the expected part of it is no longer noise."""
    generator = np.random.default_rng(6)
    data = draw_log(7, 4_000)
    group = generator.choice(["hard", "easy"], len(data))
    reward = np.where(group == "easy", 0.9, 0.1)
    plain = on(replace(data, reward=reward), MIXTURE)
    knowing = on(replace(data, reward=reward, group=group), MIXTURE)
    with_groups = knowing.estimates["dr"].standard_error
    assert with_groups < 0.9 * plain.estimates["dr"].standard_error
    # What remains is which queries the log happened to have.
    assert with_groups == pytest.approx(reward.std() / np.sqrt(len(data)), rel=0.05)


def test_clipping_trades_variance_for_a_bias_and_says_so() -> None:
    data = draw_log(8, 2_000)
    target = {"a": 0.1, "b": 0.1, "c": 0.8}
    free, clipped = on(data, target), on(data, target, clip=1.5)
    assert clipped.estimates["ips"].value < free.estimates["ips"].value
    assert clipped.estimates["ips"].standard_error < free.estimates["ips"].standard_error
    assert clipped.clipped > 0.1
    assert clipped.largest_weight == free.largest_weight > 1.5
    assert any("clipped" in note for note in clipped.notes)


def test_decisions_without_an_outcome_are_left_out_and_counted() -> None:
    data = draw_log(9, 900)
    kept = slice(None, None, 3)
    reward = np.full(900, np.nan)
    reward[kept] = data.reward[kept]
    sparse = replace(data, reward=reward)
    part = LoggedData(
        MODELS, data.arm[kept], data.probabilities[kept], data.reward[kept], data.cost[kept]
    )
    some = on(sparse, MIXTURE)
    assert some.estimates == on(part, MIXTURE).estimates
    assert (some.decisions, some.without_outcome) == (300, 600)
    assert any("600 decisions without a reward are left out" in note for note in some.notes)
    assert on(sparse, MIXTURE, "cost").without_outcome == 0
    nothing = evaluate(replace(data, reward=np.full(900, np.nan)), MIXTURE)
    assert nothing.reward is None
    assert nothing.cost


def test_outcomes_missing_for_one_model_are_noticed() -> None:
    data = draw_log(10, 3_000)
    is_missing = (data.arm == 2) & (np.random.default_rng(0).random(3_000) < 0.5)
    sparse = replace(data, reward=np.where(is_missing, np.nan, data.reward))
    found = on(sparse, MIXTURE)
    assert any("c served more, or less, often" in note for note in found.notes)
    assert on(sparse, MIXTURE, "cost").notes == ()
    assert found.estimates["snips"].value == pytest.approx(SHARES @ REWARD, abs=0.05)


def test_no_number_where_the_log_says_nothing() -> None:
    probabilities = np.tile([0.5, 0.5, 0.0], (100, 1))
    data = LoggedData(MODELS, np.arange(100) % 2, probabilities, np.ones(100), np.ones(100))
    with pytest.raises(OverlapError, match=r"30\.0% of its traffic goes to c, of which none") as no:
        evaluate(data, MIXTURE)
    assert no.value.models == ("c",)
    assert no.value.mass == pytest.approx(0.3)
    assert evaluate(data, {"a": 0.5, "b": 0.5}).reward
    # Live once, and drawn: there is a number, and what it is worth.
    some = np.array([*data.arm[1:], 2])
    rows = np.array([*probabilities[1:], [0.3, 0.3, 0.4]])
    found = on(LoggedData(MODELS, some, rows, np.ones(100), np.ones(100)), MIXTURE)
    assert found.carried == pytest.approx(0.3 * 0.99)
    assert any("30% of the target's traffic is where the log could not" in n for n in found.notes)
    assert any("fewer than 30 outcomes of c (1)" in note for note in found.notes)


def test_in_groups_overlap_is_asked_of_each() -> None:
    data = draw_log(11, 400)
    group = np.where(data.arm == 2, "x", "y")
    with pytest.raises(OverlapError, match="in some group: use coarser groups"):
        evaluate(replace(data, group=group), MIXTURE)


def test_the_best_mixture_is_chosen_and_judged_apart() -> None:
    data = draw_log(12, 4_000)
    target = best_mixture(data, 0.003, throughput_cap=0.6)
    half, arms = slice(0, 2_000), range(3)
    reward, cost = (
        np.array([y[half][data.arm[half] == arm].mean() for arm in arms])
        for y in (data.reward, data.cost)
    )
    shares = solve_routing_lp(reward, cost, np.full(3, 0.6), 0.003).probabilities
    assert target.first == 2_000
    np.testing.assert_allclose(target.probabilities, np.tile(shares, (4_000, 1)))
    assert on(data, target).decisions == 2_000
    assert on(data, target, "cost").estimates["dr"].value == pytest.approx(0.003, rel=0.2)
    # Outcomes of the second half choose nothing.
    other = replace(data, reward=np.where(np.arange(4_000) < 2_000, data.reward, 0.5))
    assert best_mixture(other, 0.003, throughput_cap=0.6).mixture == target.mixture
    # It keeps to slots, and to deployments.
    assert len(best_mixture(data, 0.003, max_deployed=2).mixture) == 2
    assert set(best_mixture(data, 0.0015, live=["a", "b"]).mixture) == {"a", "b"}
    assert best_mixture(data, 1.0, chosen_from=0.25).first == 1_000


DATA = draw_log(14)
best = partial(best_mixture, DATA, budget=0.003)
judge = partial(evaluate, DATA)
OTHER = as_target(draw_log(16, 100), MIXTURE)
logged = partial(
    LoggedData,
    models=MODELS,
    arm=np.array([0, 1]),
    probabilities=np.array([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0]]),
    reward=np.array([0.0, 1.0]),
    cost=np.array([0.001, np.nan]),
)


@pytest.mark.parametrize(
    ("thing", "arguments", "message"),
    [
        (best, {"budget": 0.0}, "budget = 0.0: must be finite and above 0"),
        (best, {"budget": 0.0001}, "budget_infeasible: no mixture of the 3 models"),
        (best, {"throughput_cap": 0.2}, "cap_infeasible: no mixture of the 3 models"),
        (best, {"throughput_cap": 1.5}, r"throughput_cap = 1.5: must be in \(0, 1\]"),
        (best, {"max_deployed": 0}, "max_deployed = 0: must be a whole number"),
        (best, {"chosen_from": 1.0}, r"chosen_from = 1.0: must be in \(0, 1\)"),
        (best, {"chosen_from": 0.01}, "there are 0 models with 30 rewards and costs in 6"),
        (best, {"live": ["z"]}, "live = 'z': was never live in this log; it has a, b, c"),
        (judge, {"policy": MIXTURE, "level": 1.0}, r"level = 1.0: must be in \(0, 1\)"),
        (judge, {"policy": MIXTURE, "clip": 0.0}, "clip = 0.0: must be finite and above 0"),
        (judge, {"policy": {"a": 0.5}}, "sums to 0.5, not to 1"),
        (judge, {"policy": {"a": 1.5, "b": -0.5}}, r"mixture\['b'\] = -0.5: must be finite"),
        (judge, {"policy": {"d": 1.0}}, "mixture = 'd': was never live in this log"),
        (judge, {"policy": np.ones(3)}, r"policy.shape = \(3,\): must be \(600, 3\)"),
        (judge, {"policy": np.full((600, 3), 0.5)}, r"policy\[0\] = .*, and sum to 1"),
        (judge, {"policy": lambda data: -data.probabilities}, r"policy\[0\] = .*not be negative"),
        (judge, {"policy": OTHER}, r"is for data of shape \(100, 3\)"),
        (logged, {"models": ("a", "b", "a")}, "must be names, at least one, none of them twice"),
        (logged, {"arm": np.array([0, 3])}, "must be indices of the 3 models"),
        (logged, {"arm": np.array([0.0, 1.0])}, "must be one index for each decision"),
        (logged, {"probabilities": np.ones((2, 2))}, r"probabilities.shape = \(2, 2\): must be"),
        (logged, {"probabilities": np.full((2, 3), 0.5)}, r"probabilities\[0\] = .* and sum to 1"),
        (logged, {"probabilities": [[1, 0, 0], [0, np.nan, 1]]}, r"probabilities\[1\] = .* to 1"),
        (logged, {"probabilities": [[1, 0, 0], [1, 0, 0]]}, "the model chosen must have"),
        (logged, {"reward": [0.5, 1.5]}, r"reward\[1\] = 1.5: must be in \[0, 1\], or NaN"),
        (logged, {"cost": [-1.0, 1.0]}, r"cost\[0\] = -1.0: must be finite and not negative"),
        (logged, {"cost": [np.inf, 1.0]}, r"cost\[0\] = inf: must be finite"),
        (logged, {"cost": [1.0]}, r"cost.shape = \(1,\): must be \(2,\)"),
        (logged, {"group": np.array([1, 2])}, "must be 2 strings"),
        (logged, {"weights": [1.0, 0.0]}, r"weights\[1\] = 0.0: must be finite and above 0"),
    ],
)
def test_bad_arguments(thing: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        thing(**arguments)


def test_decisions_of_a_callback_are_joined_with_their_outcomes() -> None:
    rows: list[LoggedDecision] = []
    log = DecisionLog(rows.extend)
    models = [Model(name, 0.6) for name in MODELS]
    with StageRouter(models, budget=0.01, max_deployed=2, seed=1, decision_log=log) as router:
        for k in range(50):
            router.route()
            if k == 24:
                router.add_model("d")
                router.advance_stage()
        asked = router.route(allowed=[router.deployment.models[0]])
    outcomes = {k: Outcome(reward=0.5, cost=0.01 * k) for k in range(0, 50, 2)}
    data = LoggedData.from_decisions(rows, outcomes)
    assert len(data) == 51
    for k, row in enumerate(rows[:50]):
        assert data.models[data.arm[k]] == row.model
        assert data.probabilities[k, data.arm[k]] == row.probability
        assert np.isnan(data.reward[k]) == (k % 2 == 1)
    assert data.cost[40] == 0.4
    assert data.probabilities[50, data.models.index(asked.model)] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        data.reward[0] = 1.0
    with pytest.raises(InvalidInputError, match=r"decisions = .*must hold at least one"):
        LoggedData.from_decisions([], {})
