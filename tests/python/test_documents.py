"""What the documents point to is there, and their examples run; so do those in docstrings."""

import doctest
import importlib
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import stageroute
from stageroute import Fleet, StageRouter, _core
from stageroute.cli import main
from stageroute.lab.figures import MEASURES
from stageroute.lab.studies import STUDIES
from stageroute.policies import check_policy

COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
EXAMPLE = re.compile(r"```python\n(.*?)```", re.DOTALL)
DOCUMENTED: dict[str, object] = {
    thing.__name__: thing for thing in (StageRouter, Fleet, _core.solve_routing_lp, check_policy)
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_each_invariant_names_a_test_that_exists() -> None:
    page = ROOT / "docs" / "architecture.md"
    rows = re.findall(
        r"^\|.*\]\(\.\./(tests/\S+)\)(?:: `(\w+)`)? \|$", page.read_text(), re.MULTILINE
    )
    assert 0 < len(rows) <= 12
    for path, name in rows:
        assert not name or re.search(rf"\b(fn|def) {name}\b", (ROOT / path).read_text()), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/operations.md", "docs/off_policy.md", "docs/lab.md", "docs/policies.md"],
)
def test_every_python_example_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples = EXAMPLE.findall((ROOT / page).read_text())
    assert examples
    for example in examples:
        exec(compile(example, page, "exec"), {})


def test_the_first_example_is_short() -> None:
    first = EXAMPLE.findall((ROOT / "README.md").read_text())[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 10


def test_every_command_of_the_readme_exists() -> None:
    targets = set(re.findall(r"`make ([a-z-]+)`", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "wheel"} <= targets
    assert targets <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


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


@pytest.mark.parametrize("target", ["demo", "test"])
def test_make_says_in_one_line_that_cargo_is_missing(tmp_path: Path, target: str) -> None:
    for tool in ("bash", "find", "python3", "sh"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    make = shutil.which("make")
    assert make
    command = [make, "--no-print-directory", "-C", str(ROOT), target]
    path = {"PATH": str(tmp_path)}
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    message = "cargo is missing: install Rust (rustup, stable) and open a new shell"
    assert done.stdout.strip() == message


@pytest.mark.slow
def test_every_command_of_the_lab_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")
    monkeypatch.chdir(tmp_path)
    lines = "\n".join(COMMANDS.findall((ROOT / "docs" / "lab.md").read_text())).splitlines()
    assert lines
    for line in filter(None, lines):
        program, *arguments = shlex.split(line, comments=True)
        assert program == "stageroute"
        assert main([*arguments, *(["--workers", "1"] if arguments[0] == "study" else [])]) == 0
    assert "0 worse, 0 better" in capsys.readouterr().out


def test_the_lab_lists_all_studies_and_figures() -> None:
    page = (ROOT / "docs" / "lab.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| [^|]*\? ?[^|]*\|$", page, re.MULTILINE)
    assert set(rows) == set(STUDIES)
    for measure in MEASURES:
        assert re.search(rf"^\| {measure.name}[^|]*\| {measure.tolerance:g} \|", page, re.MULTILINE)
