"""Workloads: what each promises of its streams."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stageroute.datasets.streams import Stream, draw_stream, stage_starts
from stageroute.errors import InvalidInputError
from stageroute.policies import Limits, Setting, make_policy
from stageroute.replay import replay
from stageroute.replay.metrics import measure
from stageroute.workloads import (
    Adversarial,
    BetterNewcomer,
    BuiltIn,
    Changing,
    Clocked,
    Delayed,
    HalfAtStart,
    LargePool,
    NeedleArrivals,
    Noisy,
    OtherPrices,
    Outage,
    PriceCut,
    RandomArrivals,
    SilentRegression,
    SlowDecline,
    StateOfTheArt,
    TableFile,
    Workload,
    cube_root_stages,
    parse_workload,
    workload_from_json,
)

QUERIES = 3_000

WORKLOADS: tuple[Workload, ...] = (
    BuiltIn(),
    BuiltIn(num_initial=3, order="shuffled", arrival_order="shuffled"),
    BuiltIn(num_initial=11, retirements=(("claude-v1", 2_000), ("claude-v2", 100))),
    StateOfTheArt(num_models=20, num_rows=1_000, grades=3),
    LargePool(num_models=200, suite=3),
    NeedleArrivals(),
    NeedleArrivals(models_per_batch=2, num_batches=5, advantage=0.5, cost=0.001),
    Changing(BuiltIn(), SilentRegression(0.3, budget=0.001), at=0.4),
    Changing(StateOfTheArt(num_models=20, num_rows=1_000), PriceCut()),
    Changing(BuiltIn(), Outage(0.3), at=0.2),
    Changing(Changing(BuiltIn(), SlowDecline()), PriceCut(), at=0.6),
    Adversarial(BuiltIn(), "best_last"),
    Adversarial(BuiltIn(), "dear_first"),
    Clocked(BuiltIn()),
    RandomArrivals(BuiltIn(num_initial=4), within=0.25),
    BetterNewcomer(BuiltIn()),
    HalfAtStart(Changing(StateOfTheArt(num_models=14, num_rows=1_000), PriceCut())),
    OtherPrices(Changing(BuiltIn(), Outage()), 0.8),
    Delayed(Noisy(BuiltIn(), 0.2, flips=0.1, bias=-0.1, favourite="claude-v2"), 50),
    *(
        Clocked(Delayed(Noisy(Changing(base, SlowDecline())), 5))
        for base in (StateOfTheArt(num_models=15, num_rows=300), LargePool(60), NeedleArrivals())
    ),
)

ORDERED: tuple[Workload, ...] = (
    Adversarial(BuiltIn(), "bad_luck_first"),
    Adversarial(BuiltIn(), share=0.02, model="claude-v2"),
    Adversarial(StateOfTheArt(num_models=20, num_rows=1_000), "task_blocks"),
)
"""Whose queries are not i.i.d. within a regime."""


def same_stream(one: Stream, other: Stream) -> bool:
    """Whether two streams are equal in every part."""
    parts = ("rows", "arrivals", "retirements", "times", "reported_reward", "delay")
    pairs = [(getattr(one, part), getattr(other, part)) for part in parts]
    pairs += [(one.table.reward, other.table.reward), (one.table.cost, other.table.cost)]
    for mine, yours in zip(one.regimes, other.regimes, strict=True):
        pairs += [(mine.start, yours.start), (mine.reward, yours.reward), (mine.cost, yours.cost)]
    return one.table.models == other.table.models and all(
        np.array_equal(mine, yours) for mine, yours in pairs
    )


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS + ORDERED, ids=lambda workload: workload.kind)
def test_a_stream_is_a_function_of_workload_length_and_seed(workload: Workload) -> None:
    rebuilt = workload_from_json(json.loads(json.dumps(asdict(workload))))
    assert rebuilt == workload
    assert hash(rebuilt) == hash(workload)
    stream = workload.stream(QUERIES, 4)
    assert stream.num_queries == QUERIES
    assert stream.rows.dtype == np.uint32
    assert same_stream(stream, rebuilt.stream(QUERIES, 4))
    assert not same_stream(stream, workload.stream(QUERIES, 5))
    assert workload.label
    policy = make_policy("stageroute", Setting(stream, Limits(0.005), 10, 2))
    assert replay(policy, stream, 10).arm.size == QUERIES


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.kind)
def test_what_queries_bring_has_the_means_of_the_regimes(workload: Workload) -> None:
    stream = workload.stream(40_000, 1)
    ends = [regime.start for regime in stream.regimes[1:]] + [stream.num_queries]
    for regime, end in zip(stream.regimes, ends, strict=True):
        rows = stream.rows[regime.start : end]
        for outcomes, means in (
            (stream.table.reward, regime.reward),
            (stream.table.cost, regime.cost),
        ):
            drawn = outcomes[rows]
            error = drawn.std(axis=0) / np.sqrt(rows.size)
            assert np.all(np.abs(drawn.mean(axis=0) - means) <= 5.0 * error + 1e-12)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.kind)
@pytest.mark.parametrize(("queries", "seed"), [(0, 1), (2.5, 1), (100, -1), (100, True)])
def test_bad_draws(workload: Workload, queries: Any, seed: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"num_queries|seed"):
        workload.stream(queries, seed)


def test_the_built_in_workload_is_what_bench_runs() -> None:
    workload = BuiltIn()
    expected = draw_stream(workload.table(), 7, num_queries=500, num_initial=5)
    assert same_stream(workload.stream(500, 7), expected)
    assert workload.table() is BuiltIn().table()


def test_a_file(small_file: Path) -> None:
    workload = TableFile(str(small_file), models=("expensive", "cheap"), order="shuffled")
    assert workload_from_json(json.loads(json.dumps(asdict(workload)))) == workload
    stream = workload.stream(400, 2)
    assert stream.table.models == ("expensive", "cheap")
    assert np.bincount(stream.rows).tolist() == [2] * 200
    assert workload.label == "small"


@pytest.mark.parametrize("queries", [1_000, 20_000, 1_000_000])
def test_one_needle_in_each_batch(queries: int) -> None:
    workload = NeedleArrivals(models_per_batch=3)
    stages = workload.num_stages(queries)
    assert stages == cube_root_stages(queries) == round(queries ** (1 / 3))
    stream = workload.stream(queries, 1)
    gap = workload.gap(queries)
    assert gap == pytest.approx(0.25 * np.sqrt(3 * stages / queries), rel=0.03)
    means = stream.regimes[0].reward.reshape(stages, 3)
    assert np.all((means == 0.5).sum(axis=1) == 2)
    np.testing.assert_allclose(means.max(axis=1), 0.5 + gap, rtol=1e-15)
    needles = workload.needles(queries, 1)
    np.testing.assert_array_equal(means.argmax(axis=1) + 3 * np.arange(stages), needles)
    assert not np.array_equal(needles, workload.needles(queries, 2))
    starts = stage_starts(queries, stages)
    for stage, start in enumerate(starts.tolist()):
        live = list(range(3 * stage, 3 * stage + 3))
        assert stream.candidates(start).tolist() == live
        last = (queries if stage == stages - 1 else int(starts[stage + 1])) - 1
        assert stream.candidates(last).tolist() == live
    anywhere = NeedleArrivals(num_batches=50)
    places = np.concatenate([anywhere.needles(10_000, seed) % 4 for seed in range(40)])
    assert np.all(np.abs(np.bincount(places) - 500) < 5 * np.sqrt(2_000 * 3 / 16))


def test_the_floor_grows_like_two_thirds_and_is_below_what_guessing_loses() -> None:
    workload = NeedleArrivals()
    horizons = [10**k for k in range(3, 8)]
    floors = [workload.regret_floor(queries) for queries in horizons]
    slope = np.polyfit(np.log(horizons), np.log(floors), 1)[0]
    assert slope == pytest.approx(2 / 3, abs=0.01)
    for queries, floor in zip(horizons, floors, strict=True):
        # Taking one of four at random loses 3/4 of the gap on every query.
        assert 0.0 < floor < 0.75 * workload.gap(queries) * queries
    # With caps of 1/4 all four must serve: nothing is left to learn.
    assert workload.regret_floor(10_000, 0.25) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stageroute", "greedy", "uniform"])
def test_no_policy_stays_below_the_floor_and_the_oracle_loses_nothing(name: str) -> None:
    workload, limits, queries = NeedleArrivals(), Limits(0.001, throughput_cap=1.0), 10_000
    stages = workload.num_stages(queries)
    lost: dict[str, list[float]] = {name: [], "oracle": []}
    for seed in range(10):
        stream = workload.stream(queries, seed)
        for who, regrets in lost.items():
            policy = make_policy(who, Setting(stream, limits, stages, seed))
            metrics = measure(replay(policy, stream, stages), stream, limits)
            regrets.append(float(metrics.cumulative_regret[-1]))
    assert np.mean(lost[name]) > workload.regret_floor(queries)
    assert np.abs(lost["oracle"]).max() < 1e-9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("builtin", BuiltIn()),
        ("file:a/b.csv", TableFile("a/b.csv")),
        ("file:path=b.npz,drop_missing=true", TableFile("b.npz", drop_missing=True)),
        ("sota", StateOfTheArt()),
        ("sota:N=50,grades=5", StateOfTheArt(num_models=50, grades=5)),
        ("pool:N=1000", LargePool(1_000)),
        ("needle:n=8,K=20,advantage=0.5", NeedleArrivals(8, 20, 0.5)),
        ("builtin+outage", Changing(BuiltIn(), Outage())),
        (
            "sota+regression:at=0.3,factor=0.2,budget=0.01+delayed:queries=10",
            Delayed(Changing(StateOfTheArt(), SilentRegression(0.2, budget=0.01), 0.3), 10),
        ),
        ("builtin+adversarial:order=best_last", Adversarial(BuiltIn(), "best_last")),
        ("file:t.npz+prices:spread=1+half", HalfAtStart(OtherPrices(TableFile("t.npz"), 1.0))),
        ("builtin+adversarial:model=m", Adversarial(BuiltIn(), model="m")),
        ("builtin+clocked:trace=t.parquet", Clocked(BuiltIn(), "t.parquet")),
        ("builtin+noisy:flips=0.1+clocked", Clocked(Noisy(BuiltIn(), flips=0.1))),
    ],
)
def test_texts(text: str, expected: Workload) -> None:
    assert parse_workload(text) == expected
