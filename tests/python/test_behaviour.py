"""The paper's behaviour, on the built-in data set, over seeds."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from stageroute import Confidence
from stageroute.cli import main
from stageroute.datasets import OutcomeTable
from stageroute.datasets.streams import draw_stream
from stageroute.lab.episodes import Episode, Record, run_episode
from stageroute.lab.figures import read_figures
from stageroute.lab.studies import STUDIES
from stageroute.policies import Limits, Setting, make_policy
from stageroute.replay import replay
from stageroute.replay.metrics import measure
from stageroute.workloads import BuiltIn

SEEDS = tuple(range(8))
LIMITS = Limits(0.001)


@cache
def records(policy: str, queries: int = 36_497, limits: Limits = LIMITS) -> list[Record]:
    """Runs over all seeds, all models from the start, K = T^(1/3)."""
    workload, stages = BuiltIn(num_initial=11), round(queries ** (1 / 3))
    return [
        run_episode(Episode(workload, policy, limits, queries, stages, seed))[0] for seed in SEEDS
    ]


def test_stageroute_beats_greedy_and_uniform_on_every_seed() -> None:
    ours = [record.regret for record in records("stageroute")]
    for rival in ("greedy", "uniform"):
        theirs = [record.regret for record in records(rival)]
        assert max(ours) < 0.2 * min(theirs), rival


def test_regret_grows_sublinearly() -> None:
    lengths = np.array([2_000, 8_000, 32_000, 128_000])
    totals = [
        np.mean([record.total_regret for record in records("stageroute", int(length))])
        for length in lengths
    ]
    exponent = np.polyfit(np.log(lengths), np.log(totals), 1)[0]
    assert 0.0 < exponent < 0.8
    assert totals[-1] / lengths[-1] < 0.35 * totals[0] / lengths[0]


def test_the_budget_is_held() -> None:
    assert max(record.spend for record in records("stageroute")) <= 1.005


def test_pacing_is_what_holds_it() -> None:
    unpaced = records("stageroute", limits=Limits(budget=0.0003, pacing_horizon=None))
    assert np.mean([record.spend for record in unpaced]) > 1.02


@pytest.mark.parametrize(
    ("confidence", "is_locked_out"),
    [
        (Confidence("paper", gamma=0.1, min_visits=0), True),
        (Confidence(), False),
        (Confidence("paper", gamma=0.1, min_visits=20), False),
    ],
)
def test_an_unlucky_start(confidence: Confidence, is_locked_out: bool) -> None:
    # The best model fails on the first rows and hardly ever after; the other one is steady.
    generator = np.random.default_rng(11)
    reward = (generator.random((20_000, 2)) < [0.9, 0.5]).astype(float)
    reward[:3, 0] = 0.0
    cost = np.full((20_000, 2), 0.001)
    table = OutcomeTable("unlucky start", ("best", "steady"), reward, cost)
    limits = Limits(budget=0.002, max_deployed=2, throughput_cap=1.0, confidence=confidence)
    stream = draw_stream(table, 0, order="in_order")
    policy = make_policy("stageroute", Setting(stream, limits, 27, 0))
    share = (replay(policy, stream, 27).arm == 0).mean()
    assert (share < 0.01) if is_locked_out else (share > 0.95)


def test_the_surrogate_of_routerbench(surrogate: OutcomeTable) -> None:
    limits = Limits(budget=0.001, use_prices=True)
    regret, spend = [], []
    for seed in SEEDS:
        stream = draw_stream(surrogate, seed, num_queries=36_497, num_initial=5)
        policy = make_policy("stageroute", Setting(stream, limits, 33, seed))
        metrics = measure(replay(policy, stream, 33), stream, limits)
        regret.append(metrics.regret)
        spend.append(metrics.spend)
    assert np.median(regret) < 0.01
    assert max(spend) <= 1.005


@pytest.mark.slow
def test_decisions_have_not_got_worse(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If this fails, the text says what got worse. Where that is meant, `make baseline`."""
    pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")
    baseline = root / "tests" / "baselines" / "quality.json"
    # It is small, and of the present study.
    assert baseline.stat().st_size < 16_000
    study = STUDIES["quality"]
    episodes = study.episodes(study.full)
    assert sum(map(len, read_figures(baseline).rows.values())) == len(episodes) == 192
    arguments = ["study", "quality", "--workers", "2", "--no-progress", "--out", str(tmp_path)]
    assert main(arguments) == 0
    capsys.readouterr()
    status = main(["compare", str(baseline), str(tmp_path)])
    text = capsys.readouterr().out
    assert status == 0, text
    assert "72 comparisons: 0 worse" in text
    assert "Only before" not in text


@pytest.mark.slow
def test_robustness_has_not_got_worse(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If this fails, the text says what got worse. Where that is meant, `make baseline`."""
    pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")
    baseline = root / "tests" / "baselines" / "robustness.json"
    chosen = ["--small", "--policies", "stageroute", "--seeds", "16"]
    running = ["--workers", "2", "--no-progress", "--out", str(tmp_path)]
    assert main(["study", "robustness", *chosen, *running]) == 0
    capsys.readouterr()
    status = main(["compare", str(baseline), str(tmp_path)])
    text = capsys.readouterr().out
    assert status == 0, text
    assert "Only before" not in text
