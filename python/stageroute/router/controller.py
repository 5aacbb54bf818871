"""The background stage controller: plans, has models started, commits; off the hot path."""

import weakref
from collections.abc import Callable
from typing import Any, Final

from stageroute._core import Birth, Signal
from stageroute.threads import finish_at_exit, join, start_thread

LONGEST_END: Final = 2.0
"""Seconds for which the end of a process waits for a stage that is being planned."""


class StageController:
    """Calls a method whenever a signal is raised, or `seconds` have passed, from its own thread.

    The thread does not keep the method's object alive. The method is told whether it was signalled,
    and not called by the clock; it must not raise. Signals that come during a call are one more.
    Nobody else waits for the signal.
    """

    def __init__(
        self, method: Callable[[bool], Any], signal: Signal, seconds: float | None
    ) -> None:
        self._birth = Birth()
        self._signal = signal
        self._is_stopped = False
        self._method = weakref.WeakMethod(method, lambda _: self._end())
        self._seconds = seconds
        self._thread = start_thread("stageroute-stages", self._run)
        finish_at_exit(self)

    def stop(self) -> None:
        """Make no further call; one that is under way ends, unless it is what calls this."""
        if self._birth.is_inherited:
            return
        self._end()
        join(self._thread)

    def finish(self) -> None:
        """Make no further call as the process ends, and wait for one under way, but not long.

        A solver that comes back to an interpreter which is gone aborts the process.
        """
        if not self._birth.is_inherited:
            self._end()
            join(self._thread, LONGEST_END)

    def wait_for(self, seconds: float | None) -> None:
        """Change the time after which the method is called, from now on."""
        if seconds != self._seconds:
            self._seconds = seconds
            # It is called for this, too, and told that it was signalled.
            self._signal.raise_()

    def _end(self) -> None:
        self._is_stopped = True
        self._signal.raise_()

    def _run(self) -> None:
        while True:
            is_asked = self._signal.wait(self._seconds)
            method = self._method()
            if self._is_stopped or method is None:
                return
            method(is_asked)
            del method
