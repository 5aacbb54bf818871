"""The paper's behaviour, on the built-in data set, over seeds."""

from functools import cache

import numpy as np
import pytest

from stageroute import Confidence
from stageroute.datasets import OutcomeTable, routerbench_synthetic
from stageroute.datasets.streams import draw_stream
from stageroute.lab.bench import BenchSettings, Episode, run_episode
from stageroute.policies import Limits, Setting, make_policy
from stageroute.replay.replay import replay

SEEDS = tuple(range(8))


@cache
def built_in() -> OutcomeTable:
    return routerbench_synthetic()


@cache
def episodes(policy: str, num_queries: int = 36_497) -> list[Episode]:
    """Runs at b = 0.001, all models from the start, K = T^(1/3)."""
    limits = Limits(budget=0.001)
    settings = BenchSettings(
        (limits,), num_queries=num_queries, num_stages=round(num_queries ** (1 / 3)),
        num_initial=None,
    )  # fmt: skip
    return [run_episode(built_in(), settings, policy, limits, seed) for seed in SEEDS]


def test_stageroute_beats_greedy_and_uniform_on_every_seed() -> None:
    ours = [episode.regret for episode in episodes("stageroute")]
    for rival in ("greedy", "uniform"):
        theirs = [episode.regret for episode in episodes(rival)]
        assert max(ours) < 0.2 * min(theirs), rival


def test_regret_grows_sublinearly() -> None:
    lengths = np.array([2_000, 8_000, 32_000, 128_000])
    totals = [
        np.mean([episode.cumulative_regret[-1] for episode in episodes("stageroute", int(length))])
        for length in lengths
    ]
    exponent = np.polyfit(np.log(lengths), np.log(totals), 1)[0]
    assert 0.0 < exponent < 0.8
    assert totals[-1] / lengths[-1] < 0.35 * totals[0] / lengths[0]


def test_the_budget_is_held() -> None:
    assert max(episode.spend for episode in episodes("stageroute")) <= 1.005


def test_pacing_is_what_holds_it() -> None:
    limits = Limits(budget=0.0003, pacing_horizon=None)
    settings = BenchSettings((limits,), num_initial=None)
    unpaced = [run_episode(built_in(), settings, "stageroute", limits, seed) for seed in SEEDS]
    assert np.mean([episode.spend for episode in unpaced]) > 1.02


def unlucky_table() -> OutcomeTable:
    """The best model fails on the first row and on no other that matters; the others are steady."""
    generator = np.random.default_rng(11)
    rows = 20_000
    reward = (generator.random((rows, 2)) < [0.9, 0.5]).astype(float)
    reward[:3, 0] = 0.0
    return OutcomeTable("unlucky start", ("best", "steady"), reward, np.full((rows, 2), 0.001))


@pytest.mark.parametrize(
    ("confidence", "is_locked_out"),
    [
        (Confidence("paper", gamma=0.1, min_visits=0), True),
        (Confidence(), False),
        (Confidence("paper", gamma=0.1, min_visits=20), False),
    ],
)
def test_an_unlucky_start(confidence: Confidence, is_locked_out: bool) -> None:
    table = unlucky_table()
    limits = Limits(budget=0.002, max_deployed=2, throughput_cap=1.0, confidence=confidence)
    stream = draw_stream(table, 0, order="in_order")
    policy = make_policy("stageroute", Setting(stream, limits, 27, 0))
    share = (replay(policy, stream, 27).arm == 0).mean()
    assert (share < 0.01) if is_locked_out else (share > 0.95)


def test_the_surrogate_of_routerbench(surrogate: OutcomeTable) -> None:
    limits = Limits(budget=0.001, use_prices=True)
    settings = BenchSettings((limits,))
    runs = [run_episode(surrogate, settings, "stageroute", limits, seed) for seed in SEEDS]
    assert np.median([run.regret for run in runs]) < 0.01
    assert max(run.spend for run in runs) <= 1.005
