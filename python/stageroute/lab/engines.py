"""Where episodes run."""

from collections.abc import Callable, Iterator, Sequence

from stageroute.lab.episodes import Episode
from stageroute.lab.study import Engine, Finished
from stageroute.parallel import run_jobs

__all__ = ["local_engine"]


def local_engine(workers: int | None = None) -> Engine:
    """Return an engine that uses processes of this machine.

    Parameters
    ----------
    workers : int, optional
        As many as there are cores by default. Results do not depend on it.

    Notes
    -----
    Episodes on the same stream go to the same process as far as possible, which keeps the stream.
    An episode whose process was lost runs again; the engine raises `WorkerLostError` when that
    has happened three times.
    """

    def run(work: Callable[[Episode], Finished], episodes: Sequence[Episode]) -> Iterator[Finished]:
        yield from run_jobs(work, (), episodes, workers, lambda episode: episode.stream)

    return run
