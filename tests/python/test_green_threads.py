"""Servers that make green threads of all threads (gevent, eventlet) can have a router."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("green_child.py")


@pytest.mark.parametrize("when", ["early", "late"])
@pytest.mark.parametrize("kind", ["gevent", "eventlet", "neither"])
def test_stages_journal_and_log_go_on_beside_green_threads(kind: str, when: str) -> None:
    """Whether they come before the package is imported or after."""
    if kind != "neither":
        pytest.importorskip(kind)
    command = [sys.executable, "-W", "ignore", str(SCRIPT), kind, when]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "500 500\n")
