"""The commands of docs/lab.md run, one after the other."""

import re
import shlex
from pathlib import Path

import pytest

from stageroute.cli import main
from stageroute.lab.figures import MEASURES
from stageroute.lab.studies import STUDIES

pytestmark = pytest.mark.slow

COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def page(root: Path) -> str:
    return (root / "docs" / "lab.md").read_text()


def test_every_command_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in COMMANDS.findall(page) for line in block.splitlines()]
    assert lines
    for line in lines:
        program, *arguments = shlex.split(line, comments=True)
        assert program == "stageroute"
        assert main([*arguments, *(["--workers", "1"] if arguments[0] == "study" else [])]) == 0
    assert "0 worse, 0 better" in capsys.readouterr().out


def test_it_lists_all_studies_and_figures(page: str) -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| [^|]*\? ?[^|]*\|$", page, re.MULTILINE)
    assert set(rows) == set(STUDIES)
    for measure in MEASURES:
        assert re.search(rf"^\| {measure.name}[^|]*\| {measure.tolerance:g} \|", page, re.MULTILINE)
