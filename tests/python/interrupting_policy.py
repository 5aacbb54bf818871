"""A policy that has Ctrl-C pressed; a module, so that worker processes can import it."""

import os
import signal
from pathlib import Path

from stageroute.policies import Setting, UniformPolicy

AFTER = 20
"""Its runs until then."""


class Interrupting(UniformPolicy):
    """Counts its runs in a file; interrupts its parent process once there are some."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        path = Path(os.environ["INTERRUPT"])
        with path.open("a") as file:
            file.write(".")
        if path.stat().st_size == AFTER:
            os.kill(os.getppid(), signal.SIGINT)
