"""Independent jobs over several processes: safe to interrupt, and a lost process loses no job."""

import logging
import math
import os
import signal
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Final, TypeVar

from stageroute.checks import require
from stageroute.errors import WorkerLostError

__all__ = ["MOST_LOSSES", "in_pieces", "run_jobs", "show_losses", "silence_router"]

MOST_LOSSES: Final = 3
"""After so many processes that ended during the same job, it is given up."""

PIECES_PER_WORKER: Final = 4
"""Jobs that belong together are cut so that there are at least so many pieces for each worker."""

Job = TypeVar("Job")
Result = TypeVar("Result")

_logger = logging.getLogger(__name__)


_SILENT: Final = logging.NullHandler()


def silence_router() -> None:
    """Keep what routers log during replays off the terminal; the results count it."""
    logging.getLogger("stageroute").addHandler(_SILENT)


def show_losses() -> None:
    """Have lost processes reported on standard error."""
    if logging.lastResort is not None:
        _logger.addHandler(logging.lastResort)


def run_jobs(
    work: Callable[..., Result],
    shared: tuple[Any, ...],
    jobs: Sequence[Job],
    workers: int | None = None,
    together: Callable[[Job], object] | None = None,
) -> Iterator[Result]:
    """Run ``work(*shared, job)`` for every job; yield results as they come, in any order.

    A process that ends in the middle of a job (killed, out of memory) is replaced, and the job
    runs again; a warning is logged.

    Parameters
    ----------
    work : callable
        A function of a module, so that other processes can import it.
    shared : tuple
        What all jobs need; sent to each process once.
    jobs : sequence
    workers : int, optional
        Processes; as many as there are cores by default. With one, everything runs here.
    together : callable, optional
        Jobs in a row for which it returns the same value run one after the other in the same
        process where that leaves enough for the others, since they have something to share.

    Raises
    ------
    InvalidInputError
        If `workers` is below 1.
    WorkerLostError
        If one job ended its process three times.
    """
    require(workers is None or workers >= 1, "workers", workers, "must be at least 1")
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        yield from (work(*shared, job) for job in jobs)
        return
    pieces = deque(in_pieces(jobs, workers, together))
    losses = Counter[int]()
    crew: list[_Worker] = []
    try:
        crew.extend(_Worker(work, shared) for _ in range(workers))
        while True:
            for position, worker in enumerate(crew):
                if worker.is_lost:
                    worker.end()
                    _put_back(worker, jobs, pieces, losses)
                    crew[position] = _Worker(work, shared)
            for worker in crew:
                if not worker.at and pieces:
                    worker.give(jobs, pieces.popleft())
            busy = {worker.connection: worker for worker in crew if worker.at}
            if not busy:
                return
            for connection in wait(list(busy)):
                yield from busy[connection].take()  # type: ignore[index]  # Windows has others
    finally:
        # Also when the caller stops early: what waits is dropped, and so is what runs.
        for worker in crew:
            worker.end()


def in_pieces(
    jobs: Sequence[Job],
    workers: int,
    together: Callable[[Job], object] | None = None,
    longest: int | None = None,
) -> list[list[int]]:
    """Cut jobs into runs of numbers, in order, so that what belongs together stays together.

    Parameters
    ----------
    jobs : sequence
    workers : int
        Who share them; pieces are short enough for all to have several.
    together : callable, optional
        See `run_jobs`; without it every job is a piece.
    longest : int, optional
        No piece has more jobs.
    """
    if together is None:
        return [[number] for number in range(len(jobs))]
    most = max(1, math.ceil(len(jobs) / (workers * PIECES_PER_WORKER)))
    most = most if longest is None else min(most, longest)
    pieces = []
    for _, group in groupby(range(len(jobs)), key=lambda number: together(jobs[number])):
        numbers = list(group)
        pieces += [numbers[at : at + most] for at in range(0, len(numbers), most)]
    return pieces


class _Worker:
    """A process, and the numbers of the jobs it still has to do: first the one it is at."""

    def __init__(self, work: Callable[..., Any], shared: tuple[Any, ...]) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, shared), daemon=True)
        self.at: deque[int] = deque()
        self.is_lost = False
        with _no_interrupts():
            self.process.start()
        theirs.close()

    def give(self, jobs: Sequence[Any], numbers: list[int]) -> None:
        """Hand out jobs."""
        self.at.extend(numbers)
        with suppress(OSError):  # it has ended: taking its result will tell
            self.connection.send([jobs[number] for number in numbers])

    def take(self) -> Iterator[Any]:
        """Yield the result that is there; nothing, if the process has ended instead."""
        try:
            is_done, result = self.connection.recv()
        except (EOFError, OSError):
            self.is_lost = True
            return
        if not is_done:
            raise result
        self.at.popleft()
        yield result

    def end(self) -> None:
        """End the process: it is idle, or what it does is not wanted."""
        self.connection.close()
        if self.at and not self.is_lost:
            self.process.terminate()
        self.process.join()


def _put_back(
    lost: _Worker, jobs: Sequence[Any], pieces: deque[list[int]], losses: Counter[int]
) -> None:
    """Have the jobs of a lost process run again, the one it was at alone."""
    number, *others = lost.at
    losses[number] += 1
    status = f"exit status {lost.process.exitcode}"
    if losses[number] == MOST_LOSSES:
        raise WorkerLostError(
            f"{jobs[number]}: its process ended {MOST_LOSSES} times in the middle of it ({status}; "
            "-9 is often a lack of memory); fix that, or use fewer workers"
        )
    _logger.warning("a process ended during %s (%s); it runs again", jobs[number], status)
    pieces.extendleft(piece for piece in (others, [number]) if piece)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Start a process that Ctrl-C does not reach: the parent alone decides what it means."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # its start would unblock what is blocked here
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, work: Callable[..., Any], shared: tuple[Any, ...]) -> None:
    """Do jobs until the parent wants no more, or has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence_router()
    with suppress(EOFError, OSError):
        while True:
            for job in connection.recv():
                connection.send(_attempt(work, shared, job))


def _attempt(work: Callable[..., Any], shared: tuple[Any, ...], job: Any) -> tuple[bool, Any]:
    """Return whether the work was done, and its result or its error."""
    try:
        return True, work(*shared, job)
    except Exception as error:  # noqa: BLE001  # the parent raises it
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        return False, error
