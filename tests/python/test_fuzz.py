"""A minute of coverage-guided fuzzing: the routing LP and the table readers, side by side.

Always the same inputs: new ones are for `make fuzz`, whose findings break nobody's build.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60
SEED, RUNS = 20_260_000, 3_000_000
LEFT_OUT = 77


def test_a_minute_of_fuzzing_finds_nothing(root: Path) -> None:
    result = subprocess.run(
        ["bash", "fuzz/run.sh", str(SECONDS)],
        cwd=root,
        env=os.environ | {"PYTHON": sys.executable, "FUZZ_SEED": str(SEED), "FUZZ_RUNS": str(RUNS)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = result.stdout + result.stderr
    if result.returncode == LEFT_OUT:
        pytest.skip(said.strip().splitlines()[-1])
    assert result.returncode == 0, said
