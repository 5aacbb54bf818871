"""Threads beside a router: of the system, and seen if they die; and what is done at exit."""

import atexit
import functools
import importlib
import logging
import sys
import threading
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any, Protocol

from stageroute.errors import ForkedRouterError

logger = logging.getLogger("stageroute")


class Unfinished(Protocol):
    """Keeps something that is still to be written."""

    def finish(self) -> None:
        """Write it."""


_kept: weakref.WeakSet[Unfinished] = weakref.WeakSet()


def finish_at_exit(kept: Unfinished) -> None:
    """Have it finished when the interpreter ends, if it is there then; not in a forked child."""
    _kept.add(kept)


@atexit.register
def _finish_all() -> None:
    for kept in list(_kept):
        try:
            kept.finish()
        except ForkedRouterError:
            # What is the parent's.
            continue
        except Exception as error:  # noqa: BLE001  # the others are finished all the same
            logger.warning("%s was not finished at exit: %r", type(kept).__name__, error)


def make_lock() -> threading.RLock:
    """Make a lock that threads of the system can wait for."""
    lock: threading.RLock = _system().RLock()
    return lock


def start_thread(name: str, run: Callable[..., None], *arguments: object) -> threading.Thread:
    """Start a daemon thread; should it ever die, that is logged."""
    given = (name, run, arguments)
    thread: threading.Thread = _system().Thread(target=_run, args=given, name=name, daemon=True)
    thread.start()
    return thread


def is_this(thread: threading.Thread | None) -> bool:
    """Whether a thread is the one that asks."""
    return thread is not None and thread.ident == _system().get_ident()


def join(thread: threading.Thread | None, seconds: float | None = None) -> bool:
    """Wait until a thread has ended, unless it is the one that asks; False if that takes longer."""
    if thread is None or is_this(thread):
        return True
    thread.join(seconds)
    return not thread.is_alive()


def _run(name: str, run: Callable[..., None], arguments: tuple[object, ...]) -> None:
    try:
        run(*arguments)
    except ForkedRouterError:
        # A callback has forked, and this is the child.
        return
    except BaseException:
        logger.critical("the thread %s has died: close the router", name, exc_info=True)


def _system() -> Any:
    """Return `threading` as it is without gevent or eventlet.

    The threads beside a router wait in native code. As green ones, which these make of all threads,
    they would stop all others meanwhile.
    """
    # Theirs are written in Python.
    is_patched = not isinstance(threading.get_ident, BuiltinFunctionType)
    return _import_again() if is_patched else threading


@functools.cache
def _import_again() -> Any:
    names = ("_thread", "threading")
    patched = {name: sys.modules.pop(name) for name in names}
    try:
        return [importlib.import_module(name) for name in names][-1]
    finally:
        sys.modules.update(patched)
