"""Fixtures that many tests share."""

import signal
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest

from stageroute.cli import main
from stageroute.datasets import OutcomeTable, read_table

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--forbid-skips", action="store_true", help="a test that is left out fails")


def pytest_configure() -> None:
    # A shell starts what runs in the background with Ctrl-C ignored, and tests press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("forbid_skips"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real outcomes and reference optima beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"left out: the shared folder {SHARED.name}/ is not beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def surrogate(shared_data: Path) -> OutcomeTable:
    """The RouterBench surrogate."""
    folder = shared_data / "data" / "routerbench_0shot_11m_sample2224"
    return read_table(
        folder / "routerbench_0shot_11m_sample2224.parquet",
        weights=folder / "balance_weights.parquet",
        name="RouterBench surrogate",
    )


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    """Where to make a journal, in a folder that holds nothing else."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "journal"


@pytest.fixture
def small_table() -> OutcomeTable:
    """Three models on 200 queries: cheap and poor, middling, expensive and good."""
    generator = np.random.default_rng(5)
    reward = (generator.random((200, 3)) < [0.4, 0.6, 0.8]).astype(float)
    cost = generator.uniform(0.5, 1.5, (200, 3)) * [0.0001, 0.0005, 0.003]
    task = np.resize(["sums", "poems"], 200)
    return OutcomeTable("small", ("cheap", "middling", "expensive"), reward, cost, task=task)


@pytest.fixture
def small_file(small_table: OutcomeTable, tmp_path: Path) -> Path:
    """The small table, without its tasks, in a file."""
    path, table = tmp_path / "small.npz", small_table
    np.savez(path, models=list(table.models), reward=table.reward, cost=table.cost)
    return path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Run the command in this process; check its status, return what it wrote and its errors."""

    def run(*arguments: object, status: int = 0) -> tuple[str, str]:
        found = main([str(argument) for argument in arguments])
        output, errors = capsys.readouterr()
        assert found == status, errors
        return output, errors

    return run
