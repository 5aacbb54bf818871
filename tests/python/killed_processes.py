"""Processes that are killed while they work.

They are forked from a server that has imported everything once, so that a start costs milliseconds
and not half a second of imports. Forking is sound here, because the server has one thread and has
opened nothing: no router, journal, database or solver, so that no lock is copied while another
thread holds it, and no file lock or mapping is shared. Each process checks that.
"""

import functools
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final
from unittest.mock import patch

IMPORTED: Final = ["crash_child", "journal_ledger", "pytest"]
FORKS: Final = multiprocessing.get_context("forkserver")


def run_and_kill(delay: float, work: Callable[..., object], *arguments: object) -> list[str]:
    """Let a process work for `delay` seconds; return the lines that it had reported by then."""
    start_server()
    reader, writer = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=begin, args=(writer, work, *arguments))
    process.start()
    writer.close()
    timer = threading.Timer(delay, process.kill)
    timer.start()
    with open(reader.fileno(), "rb", closefd=False) as pipe:  # a descriptor
        reported = pipe.read()
    timer.join()
    process.join()
    assert process.exitcode == -signal.SIGKILL, reported[-3000:].decode()
    assert reported.endswith(b"\n") or not reported
    return reported.decode().splitlines()


def report(line: str) -> None:
    """Write a line in one go: a pipe takes a short one whole or not at all."""
    os.write(1, f"{line}\n".encode())


@functools.cache
def start_server() -> None:
    """Start the server, whose only thread is to be its own."""
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with patch.dict(os.environ, one_thread | {"PYTHONPATH": os.pathsep.join(sys.path)}):
        forkserver.set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()


def begin(pipe: Connection, work: Callable[..., object], *arguments: object) -> None:
    """Begin to work in the new process, whose reports go to the pipe."""
    threads = Path(f"/proc/{os.getppid()}/task")
    assert not threads.exists() or len(list(threads.iterdir())) == 1, "a library has threads"
    os.dup2(pipe.fileno(), 1)
    pipe.close()
    logging.getLogger("stageroute").addHandler(logging.NullHandler())
    work(*arguments)
