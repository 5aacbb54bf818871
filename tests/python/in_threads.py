"""Running a function in many threads, and waiting for what other threads do."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

PATIENCE: Final = 30.0
"""Seconds after which something that should have come is not coming."""


def run_threads(count: int, work: Callable[[int], object]) -> None:
    """Run a function in `count` threads; raise what one of them raised."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def own_threads() -> list[str]:
    """Name the threads that this package runs now."""
    names = [thread.name for thread in threading.enumerate()]
    return sorted(name for name in names if name.startswith("stageroute"))
