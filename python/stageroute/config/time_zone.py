"""Time zones as the core takes them: from when local time is how far ahead of UTC."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)
UNTIL: Final = datetime(2100, 1, 1, tzinfo=UTC)
STEP: Final = timedelta(days=7)
"""No zone has changed its offset twice within that."""


def is_time_zone(name: object) -> bool:
    """Whether there is a zone of that name, as ``"Europe/Berlin"``."""
    if not isinstance(name, str):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@cache
def offsets(name: str) -> tuple[tuple[float, float], ...]:
    """Return each change: Unix time, and seconds ahead of UTC from then on; none for UTC."""
    zone = ZoneInfo(name)

    def ahead(moment: datetime) -> float:
        offset = moment.astimezone(zone).utcoffset()
        return 0.0 if offset is None else offset.total_seconds()

    found = [(FROM.timestamp(), ahead(FROM))]
    moment = FROM
    while moment < UNTIL:
        before, moment = moment, moment + STEP
        if ahead(moment) != found[-1][1]:
            found.append((_change(before, moment, ahead(before), ahead).timestamp(), ahead(moment)))
    return () if found == [(FROM.timestamp(), 0.0)] else tuple(found)


def _change(
    before: datetime, after: datetime, offset: float, ahead: Callable[[datetime], float]
) -> datetime:
    """Return the first second at which the offset is another."""
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if ahead(middle) == offset:
            before = middle
        else:
            after = middle
    return after
