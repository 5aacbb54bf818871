"""What the parts of a router share; `StageRouter` derives from all of them."""

import threading

from stageroute._core import Router
from stageroute.router.facts import Facts


class Part(Router):
    """The native half, which routes and takes feedback, and the facts beside its `_control`."""

    _facts: Facts
    _lock: threading.RLock
    """Held while models and stages change, so that two boundaries never overlap; `route` and
    `observe` never take it."""
