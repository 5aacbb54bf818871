"""The README's examples run, and print what they say; so do those in docstrings."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import stageroute
from stageroute import _core

EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_every_python_example_of_the_readme_runs(root: Path) -> None:
    examples = EXAMPLE.findall((root / "README.md").read_text())
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})


def test_the_first_example_is_short(root: Path) -> None:
    first = EXAMPLE.findall((root / "README.md").read_text())[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 10


def test_every_command_of_the_readme_exists(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    targets = set(re.findall(r"`make ([a-z-]+)`", (root / "README.md").read_text()))
    assert {"demo", "test", "wheel"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("thing", [_core.solve_routing_lp, stageroute.StageRouter])
def test_docstring_examples(thing: object) -> None:
    names = {"StageRouter": stageroute.StageRouter, "solve_routing_lp": _core.solve_routing_lp}
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    with np.printoptions(precision=8):
        results = [runner.run(test) for test in finder.find(thing, "example", globs=dict(names))]
    assert sum(result.attempted for result in results) > 0
    assert sum(result.failed for result in results) == 0
