"""The README's examples run, and print what they say; so do those in docstrings."""

import doctest
import importlib
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import stageroute
from stageroute import Fleet, StageRouter, _core
from stageroute.policies import check_policy

EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/operations.md", "docs/off_policy.md", "docs/lab.md", "docs/policies.md"],
)
def test_every_python_example_runs(
    root: Path, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = EXAMPLE.findall((root / page).read_text())
    assert examples
    for example in examples:
        exec(compile(example, page, "exec"), {})


def test_the_first_example_is_short(root: Path) -> None:
    first = EXAMPLE.findall((root / "README.md").read_text())[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 10


def test_every_command_of_the_readme_exists(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    targets = set(re.findall(r"`make ([a-z-]+)`", (root / "README.md").read_text()))
    assert {"demo", "test", "wheel"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


DOCUMENTED: dict[str, object] = {
    thing.__name__: thing for thing in (StageRouter, Fleet, _core.solve_routing_lp, check_policy)
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_docstring_examples(name: str) -> None:
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    with np.printoptions(precision=8):
        for test in finder.find(DOCUMENTED[name], name, globs=dict(DOCUMENTED)):
            runner.run(test)
    assert runner.tries > 0
    assert runner.failures == 0


def test_a_build_without_optimisation_warns_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "IS_UNOPTIMISED", True)
    with pytest.warns(RuntimeWarning, match="maturin develop --release"):
        importlib.reload(stageroute)


def test_make_says_in_one_line_that_cargo_is_missing(root: Path, tmp_path: Path) -> None:
    for tool in ("bash", "find", "python3", "sh"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    make = shutil.which("make")
    assert make
    for target in ("demo", "test"):
        done = subprocess.run(
            [make, "--no-print-directory", target],
            cwd=root,
            env={"PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert (
            done.stdout.strip()
            == "cargo is missing: install Rust (rustup, stable) and open a new shell"
        )
