"""Jobs for the tests of `stageroute.parallel`; a module, so that worker processes can import it."""

import os
import signal
import time
from pathlib import Path
from typing import NamedTuple


class Job(NamedTuple):
    """What to do, and where to leave a trace of having begun."""

    number: int
    what: str = "answer"


def do(folder: Path, job: Job) -> tuple[int, int]:
    """Return the job's number and this process; unless the job says otherwise."""
    with (folder / f"begun-{job.number}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    begun = len((folder / f"begun-{job.number}").read_text().splitlines())
    if job.what == "die" or (job.what == "die once" and begun == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    if job.what == "fail":
        raise ValueError(f"job {job.number} fails")
    if job.what == "wait":
        time.sleep(60)
    return job.number, os.getpid()
