"""The wheel installs and runs in an environment that holds nothing else of ours."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
from stageroute import StageRouter
router = StageRouter(["small", "large"], budget=0.001, max_deployed=2, seed=7)
decision = router.route()
router.observe(decision, reward=1.0, cost=0.0004)
print(decision.model, router.counters.billed)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = ["-m", "maturin", "build", "--release", "--locked", "--out", str(folder)]
    subprocess.run([sys.executable, *build], cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    run(folder, "-m", "pip", "install", "--quiet", wheel)
    return folder


def run(environment: Path, *arguments: str | Path) -> str:
    command = [environment / "bin" / "python", *arguments]
    done = subprocess.run(command, cwd=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_holds_what_it_should(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name
    files = zipfile.ZipFile(wheel).namelist()
    for name in ("page.css", "page.html.jinja", "figures.mplstyle"):
        assert f"stageroute/lab/page/{name}" in files


def test_it_runs_in_an_empty_environment(environment: Path) -> None:
    assert "0.0004" in run(environment, "-W", "error", "-c", PROGRAM)
    small = ["--queries", "500", "--stages", "2", "--seeds", "1", "--workers", "1"]
    assert "regret, %" in run(environment, "-m", "stageroute", "bench", *small)
    assert (environment / "bin" / "stageroute").exists()


def test_it_decides_as_the_build_for_tests_does(environment: Path) -> None:
    (packages,) = environment.glob("lib/*/site-packages")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "tests/python/test_golden.py",
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
