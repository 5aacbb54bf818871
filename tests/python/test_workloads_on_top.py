"""Workloads on top of another: changes, orders, clocks, noise and delays."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stageroute.datasets.streams import Stream
from stageroute.datasets.trace import read_trace
from stageroute.policies import Limits, Setting, make_policy
from stageroute.replay import replay
from stageroute.replay.metrics import measure
from stageroute.workloads import (
    Adversarial,
    BuiltIn,
    Change,
    Changing,
    Clocked,
    Delayed,
    HalfAtStart,
    Noisy,
    OtherPrices,
    Outage,
    PriceCut,
    SilentRegression,
    SlowDecline,
)

QUERIES = 4_000
BASE = BuiltIn()


@cache
def base_stream(num_queries: int = QUERIES) -> Stream:
    return BASE.stream(num_queries, 3)


def outcomes(stream: Stream) -> Any:
    """Rewards and costs, shape (2, queries, models)."""
    return np.stack([stream.table.reward[stream.rows], stream.table.cost[stream.rows]])


@pytest.mark.parametrize(
    ("change", "victim", "factors"),
    [
        (SilentRegression(0.5, budget=0.0003), "zero-one-ai/Yi-34B-Chat", {0.5: (0.5, 1.0)}),
        (PriceCut(0.2, budget=0.0003), "gpt-4-1106-preview", {0.5: (1.0, 0.2)}),
        (
            Outage(0.25, budget=0.0003),
            "zero-one-ai/Yi-34B-Chat",
            {0.5: (0.0, 1.0), 0.75: (1.0, 1.0)},
        ),
        (Outage(0.5, budget=0.0003), "zero-one-ai/Yi-34B-Chat", {0.5: (0.0, 1.0)}),
        (
            SlowDecline(0.6, 0.4, 4, budget=0.0003),
            "zero-one-ai/Yi-34B-Chat",
            {0.5: (0.9, 1.0), 0.6: (0.8, 1.0), 0.7: (0.7, 1.0), 0.8: (0.6, 1.0)},
        ),
    ],
)
def test_what_changes_and_when(
    change: Change, victim: str, factors: dict[float, tuple[float, float]]
) -> None:
    before, stream = base_stream(), Changing(BASE, change).stream(QUERIES, 3)
    arm, means = before.table.models.index(victim), before.regimes[0]
    starts = [round(share * QUERIES) for share in factors]
    assert [regime.start for regime in stream.regimes] == [0, *starts]
    scale = np.ones((2, QUERIES, before.table.num_models))
    for regime, factor in zip(stream.regimes[1:], factors.values(), strict=True):
        scale[:, regime.start :, arm] = np.array(factor)[:, None]
        of_reward, of_cost = scale[:, -1]
        np.testing.assert_allclose(regime.reward, means.reward * of_reward, rtol=1e-14)
        np.testing.assert_allclose(regime.cost, means.cost * of_cost, rtol=1e-14)
    np.testing.assert_allclose(outcomes(stream), scale * outcomes(before), rtol=1e-14)
    np.testing.assert_array_equal(stream.arrivals, before.arrivals)


def test_which_model_changes() -> None:
    """The best affordable, the best of the others, and which stands in where there is none."""
    stream = base_stream()
    means, arrived = stream.regimes[0], stream.candidates(2_000)
    affordable = arrived[means.cost[arrived] <= np.median(means.cost[arrived])]
    best = affordable[np.argmax(means.reward[affordable])]
    for change in (SilentRegression(), Outage(), SlowDecline()):
        assert change.victim(means, arrived) == best
        cheapest = replace(change, budget=1e-9).victim(means, arrived)
        assert cheapest == arrived[np.argmin(means.cost[arrived])]
    expensive = np.setdiff1d(arrived, affordable)
    assert PriceCut().victim(means, arrived) == expensive[np.argmax(means.reward[expensive])]
    most_expensive = PriceCut(budget=1.0).victim(means, arrived)
    assert most_expensive == arrived[np.argmax(means.cost[arrived])]
    # Only of those that are there.
    early = Changing(BASE, SilentRegression(budget=1.0), at=0.01).stream(QUERIES, 3)
    changed = np.flatnonzero(early.regimes[0].reward != early.regimes[1].reward)
    assert changed.tolist() == [np.argmax(means.reward[:5])]


def test_changes_add_up() -> None:
    twice = Changing(Changing(BASE, SilentRegression(0.5), at=0.3), SilentRegression(0.4), at=0.6)
    stream = twice.stream(QUERIES, 0)
    first, middle, last = stream.regimes
    assert (middle.start, last.start) == (1_200, 2_400)
    ratio = np.sort(last.reward / first.reward)
    assert ratio[:2] == pytest.approx([0.4, 0.5])
    assert stream.table.num_rows == 4 * BASE.table().num_rows


def test_the_oracle_of_a_changed_stream_has_no_regret_worth_mentioning() -> None:
    limits = Limits(0.001)
    for change in (SilentRegression(), Outage(), SlowDecline(), PriceCut()):
        stream = Changing(BASE, change).stream(36_497, 1)
        oracle = make_policy("oracle", Setting(stream, limits, 33, 1))
        metrics = measure(replay(oracle, stream, 33), stream, limits)
        # It redeploys at the next boundary after a change only.
        assert abs(metrics.regret) < 0.01


def test_changes_go_above_orders_and_delays() -> None:
    stream = Changing(Adversarial(Delayed(BASE, 7)), Outage()).stream(100, 0)
    assert (len(stream.regimes), stream.delay) == (3, 7)
    assert Changing(BASE, Outage()).stream(2, 0).regimes[1].start == 1


def test_bad_luck_first() -> None:
    workload = Adversarial(BASE, "bad_luck_first")
    stream, plain = workload.stream(20_000, 3), BASE.stream(20_000, 3)
    np.testing.assert_array_equal(np.sort(stream.rows), np.sort(plain.rows))
    reward = stream.table.reward[stream.rows]
    true = stream.regimes[0].reward
    # In the beginning the order of the models is upside down; afterwards it is better than true.
    assert np.corrcoef(reward[:2_000].mean(axis=0), true)[0, 1] < 0.0
    assert np.corrcoef(reward[2_000:].mean(axis=0), true)[0, 1] > 0.9
    np.testing.assert_array_equal(true, plain.regimes[0].reward)
    # Those that were not picked come as they were drawn.
    rest = stream.rows[2_000:].tolist()
    drawn = iter(plain.rows.tolist())
    assert all(row in drawn for row in rest)


def test_bad_luck_of_one_model() -> None:
    stream = Adversarial(BASE, share=200 / 20_000, model="gpt-3.5-turbo-1106").stream(20_000, 3)
    reward = stream.table.reward[stream.rows, stream.table.models.index("gpt-3.5-turbo-1106")]
    assert reward[:200].max() <= reward[200:].min()
    rest, drawn = stream.rows[200:].tolist(), iter(BASE.stream(20_000, 3).rows.tolist())
    assert all(row in drawn for row in rest)


def test_half_of_the_models_at_the_start() -> None:
    plain = base_stream()
    late = set()
    for seed in range(8):
        stream = HalfAtStart(BASE).stream(QUERIES, seed)
        assert sorted(stream.table.models) == sorted(plain.table.models)
        assert stream.arrivals[:6].tolist() == [0] * 6
        np.testing.assert_array_equal(np.diff(stream.arrivals[5:]) // (QUERIES // 6), 1)
        assert set(np.argsort(stream.regimes[0].cost)[:2]) == {0, 1}
        late |= set(stream.table.models[6:])
        for arm, name in enumerate(stream.table.models):
            column = plain.table.models.index(name)
            np.testing.assert_array_equal(
                stream.table.reward[:, arm], plain.table.reward[:, column]
            )
    assert len(late) == 9
    two = HalfAtStart(BuiltIn(models=BASE.table().models[:2])).stream(10, 0)
    assert two.arrivals.tolist() == [0, 0]


def test_other_prices() -> None:
    plain, factors = base_stream(), []
    for seed in range(200):
        stream = OtherPrices(BASE, 0.5).stream(10, seed)
        factor = stream.regimes[0].cost / plain.regimes[0].cost
        np.testing.assert_allclose(stream.table.cost, plain.table.cost * factor, rtol=1e-14)
        factors.append(np.log(factor))
    assert np.std(factors) == pytest.approx(0.5, rel=0.05)
    assert np.mean(factors) == pytest.approx(0.0, abs=0.05)
    same = OtherPrices(BASE, 0.0).stream(QUERIES, 3)
    np.testing.assert_array_equal(same.table.cost, plain.table.cost)


def test_task_blocks() -> None:
    stream = Adversarial(BASE, "task_blocks").stream(10_000, 3)
    assert stream.table.task is not None
    tasks = stream.table.task[stream.rows]
    assert np.all(tasks[:-1] <= tasks[1:])
    np.testing.assert_array_equal(np.sort(stream.rows), np.sort(BASE.stream(10_000, 3).rows))


@pytest.mark.parametrize(("order", "sign"), [("best_last", 1), ("dear_first", -1)])
def test_models_in_a_bad_order(order: str, sign: int) -> None:
    retired = BuiltIn(num_initial=11, retirements=(("claude-v1", 3_000),))
    stream = Adversarial(Noisy(retired), order).stream(QUERIES, 3)
    plain = Noisy(retired).stream(QUERIES, 3)
    means = stream.regimes[0].reward if order == "best_last" else stream.regimes[0].cost
    assert np.all(np.diff(sign * means) >= 0)
    np.testing.assert_array_equal(stream.table.mean_reward(), stream.regimes[0].reward)
    assert stream.retirements[stream.table.models.index("claude-v1")] == 3_000
    assert (stream.retirements == 3_000).sum() == 1
    for arm, name in enumerate(stream.table.models):
        other = plain.table.models.index(name)
        np.testing.assert_array_equal(stream.told_reward()[:, arm], plain.told_reward()[:, other])
    arriving = Adversarial(BASE, order).stream(QUERIES, 3)
    np.testing.assert_array_equal(arriving.arrivals, base_stream().arrivals)


@pytest.fixture
def trace_file(tmp_path: Path) -> Path:
    """An hour of 600 requests, 500 of them in its last tenth."""
    seconds = np.concatenate([np.linspace(10, 3_250, 100), np.linspace(3_251, 3_610, 500)])
    columns = {"t_s": seconds, "tokens_in": [5] * 600, "tokens_out": [5] * 600}
    path = tmp_path / "trace.parquet"
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("queries", [60, 600, 2_000])
def test_the_clock(trace_file: Path, queries: int) -> None:
    stream = Clocked(BASE, str(trace_file)).stream(queries, 4)
    times = np.asarray(stream.times)
    assert times.size == queries
    assert np.all(np.diff(times) >= 0)
    np.testing.assert_array_equal(stream.rows, BASE.stream(queries, 4).rows)
    assert 0.8 < ((times % 3_606) > 3_240).mean() < 0.87
    hours = -(-queries // 600)
    assert times[-1] <= hours * 3_606.1
    if queries == 2_000:
        return
    # The last tenth of the hour has five sixths of the requests.
    assert queries - stream.stage_starts(10)[-1] == pytest.approx(5 / 6 * queries, rel=0.06)


def test_the_clock_of_a_real_trace(shared_data: Path) -> None:
    path = shared_data / "data" / "trace_azure_llm_2023" / "conv.parquet"
    trace = read_trace(path)
    whole, twice = (Clocked(BASE, str(path)).stream(t, 0) for t in (len(trace), 36_497))
    np.testing.assert_array_equal(np.asarray(whole.times), trace.seconds)
    assert np.asarray(twice.times)[-1] == pytest.approx(2 * trace.span, rel=0.01)
    lengths = np.diff([*twice.stage_starts(33), 36_497])
    assert lengths.max() > 1.2 * lengths.min()


def test_a_generated_clock() -> None:
    one, other = (Clocked(BASE).stream(500, seed).times for seed in (0, 1))
    assert one is not None
    assert not np.array_equal(one, np.asarray(other))
    assert Clocked(BASE).stream(1, 0).num_queries == 1


def test_a_noisy_judge() -> None:
    def told(**judge: Any) -> Any:
        return Noisy(BASE, **judge).stream(QUERIES, 3).told_reward()

    table = base_stream().table
    true, middle = table.reward, table.reward == 0.5
    np.testing.assert_array_equal(told(noise=0.0), true)
    flips = told(noise=0.0, flips=0.25)
    np.testing.assert_allclose(flips[flips != true], 1.0 - true[flips != true])
    assert (flips != true)[~middle].mean() == pytest.approx(0.25, abs=0.005)
    noisy = told(noise=0.1)
    assert 0.0 <= noisy.min() <= noisy.max() <= 1.0
    assert noisy[middle].std() == pytest.approx(0.1, rel=0.05)
    assert noisy[middle].mean() == pytest.approx(0.5, abs=0.005)
    raised = np.minimum(true + 0.2, 1.0)
    np.testing.assert_allclose(told(noise=0.0, bias=0.2), raised, atol=1e-12)
    is_favourite = np.array(table.models) == "claude-v1"
    misled = told(noise=0.0, bias=0.2, favourite="claude-v1")
    np.testing.assert_allclose(misled, np.where(is_favourite, raised, true), atol=1e-12)


def test_a_judge_with_a_favourite_misleads_and_regret_says_so() -> None:
    limits = Limits(0.001)
    regret = []
    for base in (BASE, Noisy(BASE, noise=0.0, bias=0.5, favourite="claude-instant-v1")):
        stream = base.stream(10_000, 1)
        policy = make_policy("stageroute", Setting(stream, limits, 20, 1))
        regret.append(measure(replay(policy, stream, 20), stream, limits).regret)
    assert regret[1] > regret[0] + 0.02
