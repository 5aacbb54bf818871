"""Stages by the clock."""

import threading
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["StageClock"]


class StageClock:
    """Calls a method at equal distances in time, from a thread that does not keep its object alive.

    Parameters
    ----------
    method : bound method
        Called without arguments; must not raise.
    seconds : float
        Time between two calls, above 0.
    """

    def __init__(self, method: Callable[[], Any], seconds: float) -> None:
        self._stopped = threading.Event()
        self._method = weakref.WeakMethod(method, lambda _: self._stopped.set())
        self._seconds = seconds
        threading.Thread(target=self._run, name="stageroute-stages", daemon=True).start()

    def stop(self) -> None:
        """Make no further call; one that is under way ends."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            method = self._method()
            if method is None:
                return
            method()
            del method
