"""The wheel installs and runs in an environment that holds nothing else of ours."""

import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

PROGRAM = """
from stageroute import StageRouter
router = StageRouter(["small", "large"], budget=0.001, max_deployed=2, seed=7)
decision = router.route()
router.observe(decision, reward=1.0, cost=0.0004)
print(decision.model, router.counters.billed)
"""


def test_the_wheel_installs_and_runs_in_an_empty_environment(root: Path, tmp_path: Path) -> None:
    if shutil.which("cargo") is None:
        pytest.skip("left out: cargo is missing, so no wheel can be built")
    subprocess.run(
        [sys.executable, "-m", "maturin", "build", "--release", "--locked", "--out", tmp_path],
        cwd=root,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name
    files = zipfile.ZipFile(wheel).namelist()
    for name in ("page.css", "page.html.jinja", "figures.mplstyle"):
        assert f"stageroute/lab/page/{name}" in files
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [python, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "pip", "install", "--quiet", wheel)
    assert "0.0004" in run("-W", "error", "-c", PROGRAM)
    small = ["--queries", "500", "--stages", "2", "--seeds", "1", "--workers", "1"]
    assert "regret %" in run("-m", "stageroute", "bench", *small)
    assert (environment / "bin" / "stageroute").exists()
