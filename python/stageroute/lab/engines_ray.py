"""Episodes on a Ray cluster; needs the extra ``ray``."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from stageroute._core import __version__
from stageroute.checks import require
from stageroute.errors import ClusterError, MissingExtraError, WorkerLostError
from stageroute.lab.episodes import Episode
from stageroute.lab.study import Engine, Finished
from stageroute.replay.parallel import MOST_LOSSES, in_pieces, silence_router

__all__ = ["ray_engine"]

IN_FLIGHT_PER_CORE: Final = 2
"""Tasks submitted at a time for each of the cluster's cores: none idles, and none pile up."""

Work = Callable[[Episode], Finished]


def ray_engine(address: str = "auto", workers: int | None = None) -> Engine:
    """Return an engine that runs episodes as Ray's tasks, each on one core.

    Every node needs this package in this version, and what the workload reads. A task whose worker
    or node was lost runs again; after three losses its episodes run one by one, so that the engine
    can name the one at fault. Tasks that are not wanted any more, after Ctrl-C say, are cancelled.

    Parameters
    ----------
    address : str, default "auto"
        ``"local"`` starts a cluster on this machine, and ends it afterwards; ``"auto"`` is the
        cluster this machine belongs to; ``"ray://HOST:PORT"`` or ``"HOST:PORT"`` another one. Where
        this process is connected already, that connection is used, and kept.
    workers : int, optional
        Cores of a cluster that is started here; all by default.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    InvalidInputError
        If `workers` is given for a cluster that runs already, or is below 1.
    """
    ray = _ray()
    if workers is not None:
        require(address == "local", "workers", workers, "is for a cluster of address 'local' only")
        require(workers >= 1, "workers", workers, "must be at least 1")

    def run(work: Work, episodes: Sequence[Episode]) -> Iterator[Finished]:
        with _connection(ray, address, workers):
            yield from _run(ray, work, episodes)

    return run


def _ray() -> Any:
    try:
        import ray  # an extra
    except ImportError:
        raise MissingExtraError("the engine 'ray' needs: pip install 'stageroute[ray]'") from None
    return ray


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
    pieces = in_pieces(episodes, _cores(ray), lambda episode: episode.stream)
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
            except ray.exceptions.RayError as error:
                waiting.extendleft(reversed(_singly(piece, error)))
    finally:
        for unwanted in running:
            ray.cancel(unwanted, force=True)


def _cores(ray: Any) -> int:
    """Return how many the cluster has now; some grow."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _singly(lost: list[Episode], error: Exception) -> list[list[Episode]]:
    """Return episodes whose task was lost again and again each as a task of its own."""
    if len(lost) == 1:
        raise WorkerLostError(
            f"{lost[0]}: its process ended {MOST_LOSSES} times in the middle of it ({error})"
        )
    return [[episode] for episode in lost]


def _run_piece(version: str, work: Work, episodes: list[Episode]) -> list[Finished]:
    """Run episodes on the same stream; this runs on the cluster."""
    silence_router()
    if version != __version__:
        raise ClusterError(f"a node of the cluster has stageroute {__version__}, not {version}")
    return [work(episode) for episode in episodes]
