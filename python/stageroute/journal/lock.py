"""A lock that nobody takes away by accident, and what became of the files that it is for.

SQLite's lock is one of POSIX: it vanishes when its process opens and closes the file once more, be
it to copy it. An ``flock`` on the tail belongs to one open file and stays. Where there is none
(Windows), SQLite's lock is of that kind already.
"""

import os
import sys
import weakref
from pathlib import Path

from stageroute.errors import JournalError, JournalLockedError

if sys.platform != "win32":
    import fcntl


class FileLock:
    """Holds a tail for this process, from its making to `release`; a child has no part in it."""

    _descriptor: int | None = None

    def __init__(self, path: Path, database: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR)
        self._files = {file: file.stat().st_ino for file in (path, database)}
        # SQLite makes it with the first commit.
        self._log = database.with_name(f"{database.name}-wal")
        try:
            if sys.platform != "win32":
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            raise JournalLockedError(
                f"{path} is open already, here or in another process: a journal has one router"
            ) from error
        _held.add(self)

    def require_files(self) -> None:
        """Raise a `JournalError` if a file is no longer the one that is in use."""
        if self._log not in self._files and self._log.exists():
            self._files[self._log] = self._log.stat().st_ino
        for path, inode in self._files.items():
            try:
                is_there = path.stat().st_ino == inode
            except OSError:
                is_there = False
            if not is_there:
                raise JournalError(
                    f"{path} was deleted or replaced while it is in use: what is acknowledged from "
                    "now on will be gone after a restart. Save the router with snapshot(), close "
                    "it, and start it again from that"
                )

    def synchronise(self) -> None:
        """Have what the tail holds on the disk."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def release(self) -> None:
        """Let others have the files."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    __del__ = release


_held: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


def _release_in_child() -> None:
    """Close what a fork has copied: the lock stays with the parent, and ends with it."""
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
