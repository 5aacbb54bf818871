"""Instructions on the hot path, counted by callgrind and held by a committed budget.

Counts hardly vary from run to run, so a slower hot path shows here even on a busy machine.
"""

import platform
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUDGET_FILE = tomllib.loads((ROOT / "tests/release/instruction_counts/budgets.toml").read_text())
BUDGETS: dict[str, int] = BUDGET_FILE["instructions"]
STEPS = 10_000
FEWER_STEPS = {"deployment_11": 320}
"""Of scenarios whose steps are long; whole rounds over their problems."""
TOO_MANY, TOO_MANY_ELSEWHERE = 1.10, 1.35
"""With the compiler the budgets were counted with, and with any other."""
TOO_FEW = 0.85


@pytest.fixture(scope="module")
def driver() -> Path:
    if shutil.which("valgrind") is None:
        pytest.skip("left out: valgrind is not installed")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("left out: the budgets are for Linux on x86-64")
    package = ["-p", "stageroute-baselines", "--example", "instruction_counts"]
    build = ["cargo", "build", "--release", "--locked", "--message-format=json", *package]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    executable = re.findall(r'"executable":"([^"]*instruction_counts)"', built.stdout)
    return Path(executable[-1])


@pytest.fixture(scope="module")
def too_many() -> float:
    version = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    is_same = version.stdout.split()[1] == BUDGET_FILE["rustc"]
    return TOO_MANY if is_same else TOO_MANY_ELSEWHERE


def count(driver: Path, scenario: str, steps: int) -> int:
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command = [*valgrind, str(driver), scenario, str(steps)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    collected = re.search(r"Collected : (\d+)", run.stderr)
    assert run.returncode == 0, run.stderr
    assert collected is not None, run.stderr
    return int(collected[1])


@pytest.mark.parametrize("scenario", BUDGETS)
def test_instructions_per_step(driver: Path, too_many: float, scenario: str) -> None:
    steps = FEWER_STEPS.get(scenario, STEPS)
    once, twice = (count(driver, scenario, n) for n in (steps, 2 * steps))
    per_step = (twice - once) / steps
    budget = BUDGETS[scenario]
    print(f"{scenario}: {per_step:.0f} instructions per step, budget {budget}")
    assert per_step <= too_many * budget, f"{per_step:.0f} instructions per step, not {budget}"
    if per_step < TOO_FEW * budget:
        print(f"tighten the budget of {scenario}: {per_step:.0f} is well below {budget}")


def test_every_scenario_has_a_budget(driver: Path) -> None:
    usage = subprocess.run([driver], capture_output=True, text=True, check=False).stderr
    assert usage.split("\n")[1:-1] == [f"  {scenario}" for scenario in BUDGETS]
