"""Decisions have not got worse since the baseline; `make baseline` renews it."""

from pathlib import Path

import pytest

from stageroute.cli import main
from stageroute.lab.figures import read_figures
from stageroute.lab.studies.quality import Quality

pytestmark = pytest.mark.slow

pytest.importorskip("pyarrow", reason="left out: stageroute[lab] is not installed")


@pytest.fixture(scope="module")
def baseline(root: Path) -> Path:
    return root / "tests" / "baselines" / "quality.json"


def test_the_baseline_is_small_and_of_the_present_study(baseline: Path) -> None:
    assert baseline.stat().st_size < 16_000
    episodes = Quality().episodes(Quality().settings())
    rows = read_figures(baseline).rows
    assert sum(map(len, rows.values())) == len(episodes) == 192


def test_decisions_have_not_got_worse(
    baseline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If this fails, the text says what got worse. Where that is meant, `make baseline`."""
    arguments = ["study", "quality", "--workers", "2", "--no-progress", "--out", str(tmp_path)]
    assert main(arguments) == 0
    capsys.readouterr()
    status = main(["compare", str(baseline), str(tmp_path)])
    text = capsys.readouterr().out
    assert status == 0, text
    assert "72 comparisons: 0 worse" in text
    assert "Only before" not in text
