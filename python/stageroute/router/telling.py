"""A router's events on their way to its owner."""

import weakref

from stageroute.router.events import Events
from stageroute.router.part import Part


class Telling(Part):
    """Has its events taken from the native half and told."""

    _events: Events | None = None

    def _tell_events(self) -> None:
        """Tell what happens from now on."""
        if self._events is not None:
            return
        self._events = Events(self._around.on_event)
        # A strong one would be a cycle through the native half, which nothing collects.
        method = weakref.WeakMethod(self._take_news)

        def take_news() -> None:
            if (bound := method()) is not None:
                bound()

        self._control.call_on_news(take_news)

    def _take_news(self) -> None:
        if self._events is not None:
            self._events.take(self._control.take_news)

    def _flush_events(self) -> None:
        if self._events is not None:
            self._events.flush()

    def _stop_events(self) -> None:
        if self._events is not None:
            self._events.stop()
