"""Work that ends its process, fails or never ends; a module, so that processes can import it."""

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stageroute.lab.episodes import Episode, run_episode
from stageroute.lab.study import Finished


def begin(path: Path) -> int:
    """Note this process as one that began the work of this file; return how many did."""
    with path.open("a") as file:
        file.write(f"{os.getpid()}\n")
    return len(beginnings(path))


def beginnings(path: Path) -> list[int]:
    """Return the processes that began the work of this file."""
    return [int(line) for line in path.read_text().splitlines()]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Job(NamedTuple):
    """A number to answer with, or something else to do."""

    number: int
    what: str = "answer"


def do(folder: Path, job: Job) -> tuple[int, int]:
    """Return the job's number and this process; unless the job says otherwise."""
    begun = begin(folder / f"{job.number}")
    if job.what == "die" or (job.what == "die once" and begun == 1):
        die()
    if job.what == "fail":
        raise ValueError(f"job {job.number} fails")
    if job.what == "wait":
        threading.Event().wait(60)
    return job.number, os.getpid()


@dataclass(frozen=True)
class DieAt:
    """Runs episodes; kills its process at those of one policy, the first `times` times."""

    folder: Path
    policy: str
    times: int

    def __call__(self, episode: Episode) -> Finished:
        begun = begin(self.folder / episode.key())
        if episode.policy == self.policy and begun <= self.times:
            die()
        return run_episode(episode)


@dataclass(frozen=True)
class HoldOn:
    """Runs episodes, and never ends one on the Ray node `node`."""

    folder: Path
    node: str

    def __call__(self, episode: Episode) -> Finished:
        import ray

        begin(self.folder / episode.key())
        if ray.get_runtime_context().get_node_id() == self.node:
            (self.folder / "held").touch()
            threading.Event().wait()
        return run_episode(episode)
