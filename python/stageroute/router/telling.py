"""A router's events on their way to its owner."""

import weakref
from typing import Any

from stageroute.router.events import Events
from stageroute.router.part import Part


class Telling(Part):
    """Has its events taken from the native half and told."""

    _events: Events | None = None

    def _tell_events(self) -> None:
        """Tell what happens from now on."""
        if self._events is not None:
            return
        # A strong one would be a cycle through the native half, which nothing collects.
        router = weakref.ref(self)

        def take_news() -> list[Any]:
            return [] if (there := router()) is None else there._control.take_news()  # noqa: SLF001

        self._events = events = Events(self._around.on_event, take_news)
        woken = weakref.ref(events)

        def wake() -> None:
            if (there := woken()) is not None:
                there.wake()

        self._control.call_on_news(wake)

    def _flush_events(self) -> None:
        if self._events is not None:
            self._events.flush()

    def _stop_events(self) -> None:
        if self._events is not None:
            self._events.stop()
