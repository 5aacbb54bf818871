"""Where episodes run."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from stageroute.checks import require, require_one_of
from stageroute.lab.engines_ray import ray_engine
from stageroute.lab.episodes import Episode
from stageroute.lab.study import Engine, Finished
from stageroute.replay.parallel import run_jobs

__all__ = ["ENGINES", "local_engine", "make_engine"]

ENGINES: Final = ("local", "ray")


def make_engine(name: str, *, workers: int | None = None, address: str | None = None) -> Engine:
    """Return an engine by its name.

    Parameters
    ----------
    name : {"local", "ray"}
    workers : int, optional
        See `local_engine` and `ray_engine`.
    address : str, optional
        Of the Ray cluster; ``"local"`` by default.

    Raises
    ------
    InvalidInputError
        If there is no such engine, or the arguments are not for it.
    MissingExtraError
        If what it needs is not installed.
    """
    require_one_of("engine", name, ENGINES)
    if name == "ray":
        return ray_engine(address or "local", workers)
    require(address is None, "address", address, "is for the engine 'ray'")
    return local_engine(workers)


def local_engine(workers: int | None = None) -> Engine:
    """Return an engine that uses processes of this machine.

    Parameters
    ----------
    workers : int, optional
        As many as there are cores by default. Results do not depend on it.

    Notes
    -----
    Episodes on the same stream go to the same process as far as possible, which keeps the stream.
    Those that were under way when a process was lost run again, one by one; the engine raises
    `WorkerLostError` when one has ended its process three times.
    """

    def run(work: Callable[[Episode], Finished], episodes: Sequence[Episode]) -> Iterator[Finished]:
        yield from run_jobs(work, episodes, workers, lambda episode: episode.stream)

    return run
