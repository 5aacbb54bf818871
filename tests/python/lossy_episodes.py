"""Episodes that end their process, or never end; a module, for worker processes to import."""

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

from stageroute.lab.episodes import Episode, run_episode
from stageroute.lab.study import Finished


class DieAt:
    """Runs episodes; kills its process at those of one policy, the first `times` times."""

    def __init__(self, folder: Path, policy: str, times: int) -> None:
        self.folder, self.policy, self.times = folder, policy, times

    def __call__(self, episode: Episode) -> Finished:
        path = self.folder / episode.key()
        with path.open("a") as file:
            file.write(".")
        if episode.policy == self.policy and path.stat().st_size <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return run_episode(episode)


@dataclass(frozen=True)
class HoldOn:
    """Notes each beginning of an episode, and never ends one on the Ray node `node`."""

    folder: Path
    node: str

    def __call__(self, episode: Episode) -> Finished:
        import ray

        with (self.folder / episode.key()).open("a") as file:
            file.write(".")
        if ray.get_runtime_context().get_node_id() == self.node:
            (self.folder / "held").touch()
            threading.Event().wait()
        return run_episode(episode)
