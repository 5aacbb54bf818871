"""Where episodes run: on processes of this machine, or on a Ray cluster (extra ``ray``)."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from stageroute._core import __version__
from stageroute.checks import import_extra, require, require_one_of
from stageroute.errors import ClusterError, WorkerLostError
from stageroute.lab.episodes import Episode
from stageroute.lab.study import Engine, Finished
from stageroute.replay.parallel import MOST_LOSSES, in_pieces, run_jobs, silence_router

ENGINES: Final = ("local", "ray")

IN_FLIGHT_PER_CORE: Final = 2
"""Tasks submitted at a time for each of the cluster's cores: none idles, and none pile up."""

Work = Callable[[Episode], Finished]


def make_engine(name: str, *, workers: int | None = None, address: str | None = None) -> Engine:
    """Return an engine by its name; for the arguments see `local_engine` and `ray_engine`."""
    require_one_of("engine", name, ENGINES)
    if name == "ray":
        return ray_engine(address or "local", workers)
    require(address is None, "address", address, "is for the engine 'ray'")
    return local_engine(workers)


def local_engine(workers: int | None = None) -> Engine:
    """Return an engine that uses processes of this machine, as many as it has cores by default.

    Episodes on the same stream go to the same process as far as possible, which keeps the stream.
    Those that were under way when a process was lost run again, one by one; the engine raises
    `WorkerLostError` when one has ended its process three times.
    """
    return lambda work, episodes: run_jobs(work, episodes, workers, _stream)


def ray_engine(address: str, workers: int | None = None) -> Engine:
    """Return an engine that runs episodes as Ray's tasks, each on one core.

    Every node needs this package in this version, and what the workload reads. A task whose worker
    or node was lost runs again; after three losses its episodes run one by one, so that the engine
    can name the one at fault. Tasks that are not wanted any more, after Ctrl-C say, are cancelled.

    The address ``"local"`` starts a cluster on this machine, of as many cores as there are workers,
    and ends it afterwards; ``"auto"`` is the cluster this machine belongs to; ``"ray://HOST:PORT"``
    or ``"HOST:PORT"`` another one. A connection that this process has is used, and kept.
    """
    ray = import_extra("ray", "the engine 'ray'", "ray")
    if workers is not None:
        require(address == "local", "workers", workers, "is for a cluster of address 'local' only")
        require(workers >= 1, "workers", workers, "must be at least 1")

    def run(work: Work, episodes: Sequence[Episode]) -> Iterator[Finished]:
        with _connection(ray, address, workers):
            yield from _run(ray, work, episodes)

    return run


def _stream(episode: Episode) -> object:
    return episode.stream


@contextmanager
def _connection(ray: Any, address: str, workers: int | None) -> Iterator[None]:
    """Connect to a cluster, or start one; leave it again."""
    if ray.is_initialized():
        yield
        return
    started = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **started)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise ClusterError(
            f"address = {address!r}: no connection to a Ray cluster ({error}); start one with "
            "'ray start --head', or say 'local'"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _run(ray: Any, work: Work, episodes: Sequence[Episode]) -> Iterator[Finished]:
    task = ray.remote(_run_piece).options(num_cpus=1, max_retries=MOST_LOSSES - 1)
    pieces = in_pieces(episodes, _cores(ray), _stream)
    waiting = deque([episodes[number] for number in piece] for piece in pieces)
    running: dict[Any, list[Episode]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < IN_FLIGHT_PER_CORE * _cores(ray):
                piece = waiting.popleft()
                running[task.remote(__version__, work, piece)] = piece
            (done,), _ = ray.wait(list(running))
            piece = running.pop(done)
            try:
                yield from ray.get(done)
            except ray.exceptions.RayTaskError as error:  # raised by the episode itself
                raise error.cause from None
            except ray.exceptions.RayError as error:  # its task was lost again and again
                if len(piece) == 1:
                    raise WorkerLostError(
                        f"{piece[0]}: its process ended {MOST_LOSSES} times in the middle of it "
                        f"({error})"
                    ) from error
                waiting.extendleft([episode] for episode in reversed(piece))
    finally:
        for unwanted in running:
            ray.cancel(unwanted, force=True)


def _cores(ray: Any) -> int:
    """Return how many the cluster has now; some grow."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _run_piece(version: str, work: Work, episodes: list[Episode]) -> list[Finished]:
    """Run episodes on the same stream; this runs on the cluster."""
    silence_router()
    if version != __version__:
        raise ClusterError(f"a node of the cluster has stageroute {__version__}, not {version}")
    return [work(episode) for episode in episodes]
