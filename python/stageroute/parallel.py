"""Independent jobs over several processes, safe to interrupt."""

import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

from stageroute.checks import require

__all__ = ["run_jobs", "silence_router"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def silence_router() -> None:
    """Keep what routers log during replays off the terminal; the results count it."""
    logging.getLogger("stageroute").addHandler(logging.NullHandler())


_work: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
"""What a worker process does with a job, and what all its jobs share; sent once, at its start."""


def _start_worker(work: Callable[..., Any], shared: tuple[Any, ...]) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    silence_router()
    _work[:] = [(work, shared)]


def _run_job(job: Any) -> Any:
    work, shared = _work[0]
    return work(*shared, job)


def run_jobs(
    work: Callable[..., Result],
    shared: tuple[Any, ...],
    jobs: Sequence[Job],
    workers: int | None = None,
) -> Iterator[Result]:
    """Run ``work(*shared, job)`` for every job; yield results as they come, in any order.

    Parameters
    ----------
    work : callable
        A function of a module, so that other processes can import it.
    shared : tuple
        What all jobs need; sent to each process once.
    jobs : sequence
    workers : int, optional
        Processes; as many as there are cores by default. With one, everything runs here.

    Raises
    ------
    InvalidInputError
        If `workers` is below 1.
    """
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    require(workers >= 1, "workers", workers, "must be at least 1")
    if workers == 1:
        yield from (work(*shared, job) for job in jobs)
        return
    executor = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(work, shared)
    )
    try:
        futures = [executor.submit(_run_job, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    finally:
        # Also when the caller stops early: what runs ends, what waits is dropped.
        executor.shutdown(wait=True, cancel_futures=True)
