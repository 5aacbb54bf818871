"""Jobs over processes: each is done once, whatever happens to the processes."""

import logging
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from lost_work import Job, beginnings, do
from stageroute.errors import InvalidInputError
from stageroute.replay.parallel import in_pieces, run_jobs

pytestmark = pytest.mark.slow


def has_ended(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_done_once(tmp_path: Path, workers: int) -> None:
    jobs = [Job(number) for number in range(20)]
    results = list(run_jobs(partial(do, tmp_path), jobs, workers, lambda job: job.number // 5))
    assert sorted(number for number, _ in results) == list(range(20))
    assert len({process for _, process in results}) <= workers
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)
    assert list(run_jobs(partial(do, tmp_path), [], workers)) == []


def test_a_job_whose_process_is_lost_runs_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [Job(number, "die once" if number == 2 else "answer") for number in range(12)]
    with caplog.at_level(logging.WARNING, "stageroute.replay.parallel"):
        results = list(run_jobs(partial(do, tmp_path), jobs, 2, lambda job: job.number // 6))
    assert sorted(number for number, _ in results) == list(range(12))
    begun = [len(beginnings(tmp_path / f"{n}")) for n in range(12)]
    assert begun[2] == 2
    assert max(begun) == 2  # also where another job of the same moment was at fault
    assert "what was under way runs again, one by one: Job(number=" in caplog.text


def test_a_process_killed_from_outside_is_replaced(tmp_path: Path) -> None:
    killed, done, jobs = [], [], [Job(number) for number in range(40)]
    for number, process in run_jobs(partial(do, tmp_path), jobs, 2):
        done.append(number)
        if len(done) in (5, 20):
            os.kill(process, signal.SIGKILL)
            killed.append(process)
    assert sorted(done) == list(range(40))
    assert len(set(killed)) == 2


def test_an_error_of_a_job_is_raised_with_its_traceback(tmp_path: Path) -> None:
    jobs = [Job(0), Job(1, "fail"), *(Job(number) for number in range(2, 9))]
    with pytest.raises(ValueError, match="job 1 fails") as caught:
        list(run_jobs(partial(do, tmp_path), jobs, 2))
    assert "lost_work.py" in str(caught.value.__cause__)


def test_stopping_early_ends_the_processes(tmp_path: Path) -> None:
    jobs = [Job(0), Job(1, "wait"), *(Job(number) for number in range(2, 50))]
    runs = run_jobs(partial(do, tmp_path), jobs, 2)
    processes = {next(runs)[1] for _ in range(10)}
    while not (tmp_path / "1").exists():
        time.sleep(0.01)
    processes.add(*beginnings(tmp_path / "1"))
    runs.close()  # type: ignore[attr-defined]
    assert len(processes) == 2
    assert all(has_ended(process) for process in processes)


def test_pieces_keep_together_what_belongs_together() -> None:
    jobs = [stream for stream in range(20) for _ in range(12)]
    pieces = in_pieces(jobs, 2, lambda stream: stream)
    assert [len(piece) for piece in pieces] == [12] * 20
    assert [number for piece in pieces for number in piece] == list(range(240))
    assert all(len({jobs[number] for number in piece}) == 1 for piece in pieces)
    # One stream alone is shared out all the same, and none makes a piece that is long.
    assert [len(piece) for piece in in_pieces([0] * 16, 2, lambda stream: stream)] == [2] * 8
    assert [len(piece) for piece in in_pieces([0] * 36 * 4, 1, lambda stream: stream)] == [16] * 9
    assert in_pieces(jobs, 2) == [[number] for number in range(240)]


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers_are_refused(tmp_path: Path, workers: int) -> None:
    with pytest.raises(InvalidInputError, match=f"workers = {workers}: must be at least 1"):
        list(run_jobs(partial(do, tmp_path), [Job(0)], workers))
