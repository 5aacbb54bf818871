"""The benches are fair: every rival computes what we compute, and the scripts run."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stageroute import RoutingSolution, solve_deployment, solve_routing_lp
from stageroute.policies import Setting, StageRoutePolicy
from stageroute.replay import replay

sys.path.insert(0, str(Path(__file__).parents[2] / "benches" / "python"))

import guarded
import many_models
import optimisation
import ratios
import solvers
from numba_rival import NumbaRouter, make_jitclass_router
from replays import CASES, Watched
from rivals import KeptLp, NumpyHighsRouter, TunedHighsRouter, solve_plain_mip
from workloads import Workload, deployment_instances, make_workload

pytestmark = pytest.mark.slow

Floats = NDArray[np.float64]

HIGHS_TOLERANCE = 1e-6  # its feasibility tolerances are 1e-7, on rows and on reduced values
RIVALS = [
    pytest.param(NumbaRouter, 1e-9, id="numba"),
    pytest.param(NumpyHighsRouter, HIGHS_TOLERANCE, id="numpy-highs"),
    pytest.param(TunedHighsRouter, HIGHS_TOLERANCE, id="tuned-highs"),
]


def has_one_optimum(reward: Floats, cost: Floats, exact: RoutingSolution) -> bool:
    """Whether no arm outside the basis is within HiGHS's tolerance of entering it."""
    if exact.status != "optimal":
        return False
    score = reward - exact.budget_price * cost
    weights, caps = exact.probabilities, 0.5
    fractional = (weights > 1e-6) & (weights < caps - 1e-6)
    if not fractional.any():
        return False
    distance = np.abs(score - score[fractional][0])
    return bool(distance[~fractional].min(initial=np.inf) > HIGHS_TOLERANCE)


def compare_step_by_step(rival: Any, workload: Workload, steps: int, tolerance: float) -> int:
    """Show the rival what our router saw; compare before each decision. How often in full."""
    ours = workload.make_router(seed=11)
    caps = np.array(workload.settings.caps)
    compared = 0
    for t in range(steps):
        bounds = ours._control.bounds()
        np.testing.assert_allclose(rival.reward_ucb, bounds[0], rtol=1e-12)
        np.testing.assert_allclose(rival.cost_lcb, bounds[1], rtol=1e-12, atol=1e-18)
        budget = ours.counters.paced_budget
        exact = solve_routing_lp(*bounds, caps, budget)
        weights = np.array(rival.solve())
        decision = ours.route()
        arm = workload.names.index(decision.model)
        assert decision.probability == pytest.approx(exact.probabilities[arm], abs=1e-9)
        if exact.status == "optimal":
            assert weights @ bounds[0] == pytest.approx(exact.objective, abs=tolerance)
            assert weights @ bounds[1] <= budget + tolerance * workload.settings.budget
        # Ties may fall either way in HiGHS; numba breaks them as we do.
        if isinstance(rival, NumbaRouter) or has_one_optimum(*bounds, exact):
            np.testing.assert_allclose(weights, exact.probabilities, rtol=0.0, atol=tolerance)
            compared += 1
        rival.route()
        outcome = workload.by_arm[t % len(workload.by_arm)][arm]
        ours.observe(decision, reward=outcome[0], cost=outcome[1])
        rival.observe(arm, *outcome)
    return compared


@pytest.mark.parametrize("num_models", [3, 5, 11, 32])
@pytest.mark.parametrize(("make", "tolerance"), RIVALS)
def test_a_rival_computes_what_we_compute(make: Any, tolerance: float, num_models: int) -> None:
    workload = make_workload(num_models)
    steps = 900
    compared = compare_step_by_step(make(workload.settings, 1), workload, steps, tolerance)
    assert compared >= steps // 8  # forced visits are ties


def test_every_rival_draws_from_its_distribution() -> None:
    workload = make_workload(5)
    settings = workload.settings
    rivals: list[Any] = [
        NumbaRouter(settings, 1),
        make_jitclass_router(settings, 1),
        NumpyHighsRouter(settings, 1),
        TunedHighsRouter(settings, 1),
    ]
    for rival in rivals:
        drawn = [rival.route() for _ in range(400)]
        # Nothing is known and nothing was billed: two arms at their cap of a half.
        assert {p for _, p in drawn} == {0.5}
        shares = np.bincount([arm for arm, _ in drawn], minlength=5) / len(drawn)
        assert np.sort(shares)[-2:] == pytest.approx(0.5, abs=0.1)


def test_the_cheapest_mixture_serves_when_the_budget_cannot_be_met() -> None:
    workload = make_workload(5)
    rivals: list[Any] = [
        make(workload.settings, 1) for make in (NumbaRouter, NumpyHighsRouter, TunedHighsRouter)
    ]
    for rival in rivals:
        for row in workload.by_arm[:200]:
            for arm in range(5):
                rival.observe(arm, *row[arm])
        weights = np.array(rival.solve())  # spent far above the budget: it is paced to 0
        cheapest = solve_routing_lp(rival.reward_ucb, rival.cost_lcb, np.full(5, 0.5), 0.0)
        assert cheapest.status == "budget_infeasible"
        np.testing.assert_allclose(weights, cheapest.probabilities, atol=1e-9)


@pytest.mark.parametrize("is_tuned", [False, True])
def test_the_kept_lp_is_our_lp(is_tuned: bool) -> None:
    generator = np.random.default_rng(0)
    reward, cost = generator.random(11), generator.random(11) * 2e-3
    cap = np.full(11, 0.3)
    lp = KeptLp(reward, cost, cap, 1e-3, is_tuned=is_tuned)
    for arm in generator.integers(11, size=200).tolist():
        reward[arm], cost[arm] = generator.random(), generator.random() * 2e-3
        lp.set_reward(arm, float(reward[arm]))
        lp.set_cost(arm, float(cost[arm]))
        weights = lp.solve()
        exact = solve_routing_lp(reward, cost, cap, 1e-3)
        assert weights is not None
        assert np.array(weights) @ reward == pytest.approx(exact.objective, abs=HIGHS_TOLERANCE)


@pytest.mark.parametrize("num_models", [11, 32])
def test_the_plain_mip_is_our_deployment(num_models: int) -> None:
    ways = set()
    for i in deployment_instances(num_models, 12):
        ours = solve_deployment(i.reward, i.cost, i.cap, i.budget, 4)
        objective, weights = solve_plain_mip(i.reward, i.cost, i.cap, i.budget, 4)
        assert objective == pytest.approx(ours.objective, abs=HIGHS_TOLERANCE)
        assert np.count_nonzero(weights > 1e-6) <= 4
        ways.add(ours.solved_by)
    assert ways == {"lp", "highs"}


def rows_of(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> list[dict[str, Any]]:
    """Run a script for its rows, each of which is printed too, under this name."""
    assert script.main(["--quick", "--json", str(tmp_path / "rows.json")]) == 0
    rows: list[dict[str, Any]] = json.loads((tmp_path / "rows.json").read_text())["rows"]
    printed = capsys.readouterr().out
    assert all(row[name] in printed for row in rows)
    return rows


def test_the_scripts_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(ratios, tmp_path, capsys, "what")
    assert {row["what"].split(",")[0] for row in rows} == {
        "step", "LP alone", "replay", "deployment", "two threads",
    }  # fmt: skip
    for row in rows:
        assert row["ours"] > 0.0
        assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]
        assert (row["reached"] == "") == (row["goal"] is None)
    rows = rows_of(guarded, tmp_path, capsys, "what")
    assert [row["what"] for row in rows] == [
        "bare", "hard limits", "traffic limits", "journal", "decision log", "everything",
    ]  # fmt: skip
    assert all(row["cpu"] > 0.0 for row in rows)
    monkeypatch.setattr(solvers, "QUICK_SIZES", {11: 1})
    rows = rows_of(solvers, tmp_path, capsys, "kind")
    assert len(rows) >= 5
    for row in rows:
        assert 0.0 < row["native"] <= row["native_worst"]
        assert 0.0 < row["ratio_min"] <= row["ratio"]
    monkeypatch.setattr(many_models, "COUNTS", (20, 80))
    monkeypatch.setattr(many_models, "ROUNDS", 1)
    many_models.main()
    assert capsys.readouterr().out.startswith("add_model: 20 in 0.0")


def test_the_bench_of_the_optimisation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    optimisation.main(["--quick"])
    assert len(capsys.readouterr().out.split("**")[1::2]) == 5


def test_to_watch_the_basis_changes_no_decision() -> None:
    case = CASES[1]
    stream = case.workload.stream(1_500, 0)
    setting = Setting(stream, case.limits, 10, 0)
    watched = Watched(setting)
    result = replay(watched, stream, 10, native=False)
    plain = replay(StageRoutePolicy(setting), stream, 10)
    np.testing.assert_array_equal(result.arm, plain.arm)
    # One comparison for each query but the first of each stage, and most bases stay.
    assert len(watched.kept) == 1_500 - 10
    assert 0.8 < np.mean(watched.kept) < 1.0
