"""Independent jobs over several processes: safe to interrupt, and a lost process loses no job."""

import logging
import math
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from threading import Thread
from typing import Final, TypeVar

from loky import ProcessPoolExecutor

from stageroute.checks import require
from stageroute.errors import WorkerLostError

MOST_LOSSES: Final = 3
"""A job that its process did not survive this often is given up."""

PIECES_PER_WORKER: Final = 4
"""Jobs that belong together are cut until there are at least this many pieces for each worker."""

LONGEST_PIECE: Final = 16
"""A piece has no more jobs: a lost one begins anew."""

PARENT_SECONDS: Final = 0.5
"""How often a process looks whether its parent is there."""

Job = TypeVar("Job")
Result = TypeVar("Result")

_logger = logging.getLogger(__name__)
_SILENT: Final = logging.NullHandler()


def silence_router() -> None:
    """Keep what routers log during replays off the terminal; the results count it."""
    logging.getLogger("stageroute").addHandler(_SILENT)


def run_jobs(
    work: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int | None = None,
    together: Callable[[Job], object] | None = None,
) -> Iterator[Result]:
    """Run ``work(job)``, which can be imported, for every job; yield results in any order.

    There are as many workers as cores by default; with one, everything runs here. Jobs in a row for
    which `together` returns the same value have something to share: they run one after the other in
    the same process where that leaves enough for the others.

    Where a process ends in the middle of its jobs (killed, out of memory), all are replaced; the
    jobs that were under way run again one by one, so that the one at fault can be named, and a
    warning is logged.

    Raises
    ------
    WorkerLostError
        If one job ended its process three times.
    """
    require(workers is None or workers >= 1, "workers", workers, "must be at least 1")
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    if workers <= 1:
        yield from map(work, jobs)
        return
    waiting = deque(in_pieces(jobs, workers, together))
    losses = Counter[int]()
    while waiting:
        pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(os.getpid(),))
        running: dict[Future[list[Result]], list[int]] = {}
        try:
            while waiting or running:
                while waiting and _may_begin(waiting[0], running.values(), losses, workers):
                    piece = waiting.popleft()
                    part = [jobs[number] for number in piece]
                    running[pool.submit(_run_piece, work, part)] = piece
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield from future.result()
                    del running[future]
        except BrokenProcessPool:
            suspects = [number for piece in running.values() for number in piece]
            _blame(jobs, suspects, losses)
            waiting.extendleft([number] for number in reversed(suspects))
        finally:
            # Also when the caller stops early: what is under way is not wanted any more.
            pool.shutdown(kill_workers=True)


def _may_begin(
    piece: list[int], running: Collection[list[int]], losses: Counter[int], workers: int
) -> bool:
    """Whether a process is free; jobs that a process did not survive run alone."""
    is_alone = any(losses[each[0]] for each in (piece, *running))
    return not running if is_alone else len(running) < workers


def _blame(jobs: Sequence[object], suspects: Sequence[int], losses: Counter[int]) -> None:
    losses.update(suspects)
    for number in suspects:
        if losses[number] == MOST_LOSSES:
            raise WorkerLostError(
                f"{jobs[number]}: its process ended {MOST_LOSSES} times in the middle of it; often "
                "that is a lack of memory: use fewer workers"
            )
    names = "; ".join(str(jobs[number]) for number in suspects)
    _logger.warning("a process ended; what was under way runs again, one by one: %s", names)


def in_pieces(
    jobs: Sequence[Job], workers: int, together: Callable[[Job], object] | None = None
) -> list[list[int]]:
    """Cut jobs into runs of numbers, in order, so that what belongs together stays together.

    Pieces are short enough for all workers to have several; without `together` each is one job.
    """
    if together is None:
        return [[number] for number in range(len(jobs))]
    most = min(LONGEST_PIECE, max(1, math.ceil(len(jobs) / (workers * PIECES_PER_WORKER))))
    pieces = []
    for _, group in groupby(range(len(jobs)), key=lambda number: together(jobs[number])):
        numbers = list(group)
        pieces += [numbers[at : at + most] for at in range(0, len(numbers), most)]
    return pieces


def _begin(parent: int) -> None:
    """Prepare a process: Ctrl-C is for its parent, and it ends when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence_router()
    Thread(target=_end_with, args=[parent], daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


def _run_piece(work: Callable[[Job], Result], jobs: list[Job]) -> list[Result]:
    return [work(job) for job in jobs]
