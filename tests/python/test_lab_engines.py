"""Wherever episodes run, they give the same records; what is lost there runs again."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lossy_episodes import DieAt
from stageroute.errors import ClusterError, InvalidInputError, MissingExtraError, WorkerLostError
from stageroute.lab.engines import local_engine, make_engine
from stageroute.lab.episodes import Episode, run_episode
from stageroute.lab.studies.comparison import Comparison
from stageroute.lab.study import Engine

pytestmark = pytest.mark.slow

POLICIES = ("stageroute", "greedy", "uniform", "oracle")

SECONDS = 120
"""Most that a Ray cluster on this machine may take."""


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    study = Comparison()
    small = replace(study.small(study.settings()), policies=POLICIES, seeds=tuple(range(6)))
    return study.episodes(replace(small, num_queries=400, num_stages=3))


def json_of(engine: Engine, work: Any, episodes: list[Episode]) -> dict[str, str]:
    return {record.key: repr(record) for record, _ in engine(work, episodes)}


@pytest.fixture(scope="module")
def expected(episodes: list[Episode]) -> dict[str, str]:
    return json_of(local_engine(1), run_episode, episodes)


def test_lost_processes_do_not_change_results(
    tmp_path: Path, episodes: list[Episode], expected: dict[str, str]
) -> None:
    work, some = DieAt(tmp_path, "greedy", times=1), episodes[:8]
    found = json_of(local_engine(2), work, some)
    assert found == {episode.key(): expected[episode.key()] for episode in some}
    begun = {episode: len((tmp_path / episode.key()).read_text()) for episode in some}
    assert all(begun[episode] == 2 for episode in some if episode.policy == "greedy")
    assert max(begun.values()) == 2


def test_an_episode_that_always_ends_its_process_is_named(
    tmp_path: Path, episodes: list[Episode]
) -> None:
    work = DieAt(tmp_path, "greedy", times=99)
    with pytest.raises(
        WorkerLostError, match=r"^episode \w+ \(greedy, b = 0\.0003, built-in, seed"
    ):
        list(local_engine(2)(work, episodes))


def test_engines_by_name() -> None:
    with pytest.raises(InvalidInputError, match="engine = 'dask': must be one of local, ray"):
        make_engine("dask")
    with pytest.raises(InvalidInputError, match="address = 'auto': is for the engine 'ray'"):
        make_engine("local", address="auto")


def test_a_missing_ray_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stageroute\[ray\]'"):
        make_engine("ray")


# Below, a real cluster on this machine.


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray, connected to a cluster of two cores; of no use to what must start its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        ray = pytest.importorskip("ray", reason="left out: stageroute[ray] is not installed")
        ray.init(
            "local", num_cpus=2, include_dashboard=False, log_to_driver=False,
            object_store_memory=100_000_000, _node_ip_address="127.0.0.1",
        )  # fmt: skip
        yield ray
        ray.shutdown()


def test_ray_gives_the_same_records(
    ray: Any, episodes: list[Episode], expected: dict[str, str]
) -> None:
    engine = make_engine("ray", address="auto")
    assert json_of(engine, run_episode, episodes) == expected
    assert ray.is_initialized()  # a connection that was there is kept


def test_ray_workers_that_are_lost_do_not_change_results(
    ray: Any, tmp_path: Path, episodes: list[Episode], expected: dict[str, str]
) -> None:
    work = DieAt(tmp_path, "uniform", times=1)
    assert json_of(make_engine("ray"), work, episodes) == expected
    assert (tmp_path / episodes[2].key()).read_text() == ".."


def test_an_episode_that_ray_cannot_finish_is_named(
    ray: Any, tmp_path: Path, episodes: list[Episode]
) -> None:
    work = DieAt(tmp_path, "oracle", times=99)
    with pytest.raises(WorkerLostError, match=r"^episode \w+ \(oracle, .* ended 3 times"):
        list(make_engine("ray")(work, episodes[:4]))


def test_errors_of_episodes_come_through_ray(ray: Any, episodes: list[Episode]) -> None:
    unknown = [replace(episodes[0], policy="oracular")]
    with pytest.raises(InvalidInputError, match=r"^policy = 'oracular': did you mean"):
        list(make_engine("ray")(run_episode, unknown))


def test_stopping_early_cancels_what_ray_has_not_done(
    ray: Any, tmp_path: Path, episodes: list[Episode]
) -> None:
    many = [replace(episode, seed=seed) for seed in range(200) for episode in episodes[:4]]
    runs = make_engine("ray")(DieAt(tmp_path, "", times=0), many)
    next(runs)
    runs.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + SECONDS
    while ray.available_resources().get("CPU") != 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ray.available_resources().get("CPU") == 2
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
