"""Wherever episodes run, they give the same records; what is lost there runs again."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lost_work import DieAt, HoldOn, beginnings
from stageroute.errors import ClusterError, InvalidInputError, MissingExtraError, WorkerLostError
from stageroute.lab.engines import local_engine, make_engine
from stageroute.lab.episodes import Episode, run_episode
from stageroute.lab.studies import STUDIES
from stageroute.lab.study import Engine

pytestmark = pytest.mark.slow

POLICIES = ("stageroute", "greedy", "uniform", "oracle")

SECONDS = 120
"""Most that a Ray cluster on this machine may take."""


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    study = STUDIES["comparison"]
    small = replace(study.small, policies=POLICIES, seeds=tuple(range(6)))
    return study.episodes(replace(small, num_queries=400, num_stages=3))


def json_of(engine: Engine, work: Any, episodes: list[Episode]) -> dict[str, str]:
    return {record.key: repr(record) for record, _ in engine(work, episodes)}


@pytest.fixture(scope="module")
def expected(episodes: list[Episode]) -> dict[str, str]:
    return json_of(local_engine(1), run_episode, episodes)


def test_engines_by_name() -> None:
    with pytest.raises(InvalidInputError, match="engine = 'dask': must be one of local, ray"):
        make_engine("dask")
    with pytest.raises(InvalidInputError, match="address = 'auto': is for the engine 'ray'"):
        make_engine("local", address="auto")


def test_a_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stageroute\[ray\]'"):
        make_engine("ray")


# Below, real clusters on this machine.


@pytest.fixture(scope="module")
def ray_here() -> Iterator[Any]:
    """Ray, in an environment in which its workers import what tests import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield pytest.importorskip("ray", reason="left out: stageroute[ray] is not installed")


def wait_until(is_reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_reached() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_reached()


@pytest.fixture(scope="module")
def ray(ray_here: Any) -> Iterator[Any]:
    """Ray, connected to a cluster of two cores; of no use to what must start its own."""
    ray_here.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        object_store_memory=100_000_000, _node_ip_address="127.0.0.1",
    )  # fmt: skip
    yield ray_here
    ray_here.shutdown()


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Two workers here, and two of Ray."""
    if request.param == "local":
        return local_engine(2)
    request.getfixturevalue("ray")
    return make_engine("ray")


def test_workers_that_are_lost_do_not_change_results(
    engine: Engine, tmp_path: Path, episodes: list[Episode], expected: dict[str, str]
) -> None:
    work, some = DieAt(tmp_path, "greedy", times=1), episodes[:8]
    found = json_of(engine, work, some)
    assert found == {episode.key(): expected[episode.key()] for episode in some}
    begun = {episode: len(beginnings(tmp_path / episode.key())) for episode in some}
    assert all(begun[episode] == 2 for episode in some if episode.policy == "greedy")
    assert max(begun.values()) == 2


def test_an_episode_that_always_ends_its_process_is_named(
    engine: Engine, tmp_path: Path, episodes: list[Episode]
) -> None:
    work = DieAt(tmp_path, "greedy", times=99)
    message = r"^episode \w+ \(greedy, b = 0\.0003, built-in, seed .* 3 times"
    with pytest.raises(WorkerLostError, match=message):
        list(engine(work, episodes[:4]))
    (greedy,) = (episode for episode in episodes[:4] if episode.policy == "greedy")
    assert len(beginnings(tmp_path / greedy.key())) == 3


def test_errors_of_episodes_come_through(engine: Engine, episodes: list[Episode]) -> None:
    unknown = [replace(episodes[0], policy="oracular")]
    with pytest.raises(InvalidInputError, match=r"^policy = 'oracular': did you mean"):
        list(engine(run_episode, unknown))


def test_ray_gives_the_same_records(
    ray: Any, episodes: list[Episode], expected: dict[str, str]
) -> None:
    engine = make_engine("ray", address="auto")
    assert json_of(engine, run_episode, episodes) == expected
    assert ray.is_initialized()  # a connection that was there is kept


def test_stopping_early_cancels_what_ray_has_not_done(
    ray: Any, tmp_path: Path, episodes: list[Episode]
) -> None:
    many = [replace(episode, seed=seed) for seed in range(200) for episode in episodes[:4]]
    runs = make_engine("ray")(DieAt(tmp_path, "", times=0), many)
    next(runs)
    runs.close()  # type: ignore[attr-defined]
    wait_until(lambda: ray.available_resources().get("CPU") == 2)
    assert len(list(tmp_path.iterdir())) < 200


def test_the_command_gives_the_same_bytes_on_ray(ray: Any, tmp_path: Path) -> None:
    study = ["study", "comparison", "--small", "--no-progress", "--policies", *POLICIES]
    for engine in (["--workers", "1"], ["--engine", "ray", "--workers", "2"]):
        folder = ["--out", str(tmp_path / engine[1])]
        subprocess.run(
            [sys.executable, "-m", "stageroute", *study, *engine, *folder],
            check=True,
            capture_output=True,
            timeout=SECONDS,
        )
    for name in ("study.json", "episodes.parquet"):
        local, on_ray = ((tmp_path / engine / name).read_bytes() for engine in ("1", "ray"))
        assert local == on_ray


def test_a_cluster_that_is_not_there_is_said(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("nobody listens")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(
        ClusterError, match=r"address = 'ray://x:1': no connection .*nobody listens"
    ):
        next(make_engine("ray", address="ray://x:1")(run_episode, []))


def test_workers_are_for_a_cluster_that_is_started(ray: Any) -> None:
    with pytest.raises(InvalidInputError, match="workers = 2: is for a cluster of address 'local'"):
        make_engine("ray", address="auto", workers=2)


def test_a_node_that_is_lost_does_not_change_results(
    ray_here: Any, tmp_path: Path, episodes: list[Episode], expected: dict[str, str]
) -> None:
    """The last test: later ones would find its cluster."""
    from ray.cluster_utils import Cluster

    ray_here.shutdown()
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    ray_here.init(cluster.address, log_to_driver=False)
    try:
        other = cluster.add_node(**node)
        cluster.wait_for_nodes()
        runs = make_engine("ray")(HoldOn(tmp_path, other.node_id), episodes)
        finished = [next(runs)]
        wait_until((tmp_path / "held").exists)
        cluster.remove_node(other, allow_graceful=False)
        finished += runs
    finally:
        ray_here.shutdown()
        cluster.shutdown()
    assert {record.key: repr(record) for record, _ in finished} == expected
    begun = {len(beginnings(tmp_path / episode.key())) for episode in episodes}
    assert begun == {1, 2}
