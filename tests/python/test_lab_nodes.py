"""A Ray cluster of two nodes on this machine, one of which is lost in the middle of a study."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lossy_episodes import HoldOn
from stageroute.lab.engines import local_engine, make_engine
from stageroute.lab.episodes import run_episode
from stageroute.lab.studies.comparison import Comparison

SECONDS = 60
"""Most that may pass until a node has begun an episode."""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of a head and nothing else yet, to which this process is connected."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    ray = pytest.importorskip("ray", reason="left out: stageroute[ray] is not installed")
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}
    started = Cluster(initialize_head=True, head_node_args=small)
    started.small = small
    ray.init(started.address, log_to_driver=False)
    yield started
    ray.shutdown()
    started.shutdown()


@pytest.mark.slow
def test_a_node_that_is_lost_does_not_change_results(cluster: Any, tmp_path: Path) -> None:
    study = Comparison()
    settings = replace(
        study.small(study.settings()),
        policies=("greedy", "uniform"), seeds=tuple(range(6)), num_queries=400, num_stages=3,
    )  # fmt: skip
    episodes = study.episodes(settings)
    expected = {record.key: repr(record) for record, _ in local_engine(1)(run_episode, episodes)}

    other = cluster.add_node(**cluster.small)
    cluster.wait_for_nodes()
    runs = make_engine("ray")(HoldOn(tmp_path, other.node_id), episodes)
    finished = [next(runs)]
    held, deadline = tmp_path / "held", time.monotonic() + SECONDS
    while not held.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held.exists()
    cluster.remove_node(other, allow_graceful=False)
    finished += runs

    assert {record.key: repr(record) for record, _ in finished} == expected
    begun = [len((tmp_path / episode.key()).read_text()) for episode in episodes]
    assert sorted(set(begun)) == [1, 2]
