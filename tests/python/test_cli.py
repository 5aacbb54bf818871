"""The command line, run as its user runs it."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stageroute import __version__
from stageroute.cli import main
from stageroute.datasets import OutcomeTable

QUICK = ["--queries", "1500", "--stages", "5", "--seeds", "2", "--no-progress"]


@pytest.fixture
def table_file(small_table: OutcomeTable, tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        kinds = ("reward", "cost")
        names = [f"{kind}:{model}" for kind in kinds for model in small_table.models]
        writer.writerow(["query_id", "eval_name", *names])
        for k in range(small_table.num_rows):
            writer.writerow([f"q{k}", "task", *small_table.reward[k], *small_table.cost[k]])
    return path


def test_bench_prints_figures_and_writes_json_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "o.json", tmp_path / "o.png"
    arguments = ["bench", *QUICK, "--budget", "0.0005", "0.002", "--workers", "1"]
    assert main([*arguments, "--json", str(files[0]), "--plot", str(files[1])]) == 0
    text, errors = capsys.readouterr()
    assert errors == ""
    for expected in ("b = 0.0005", "b = 0.002", "stageroute", "uniform", "K = 5", "T = 1,500"):
        assert expected in text
    result = json.loads(files[0].read_text())
    assert result["version"] == __version__
    assert len(result["episodes"]) == 2 * 4 * 2
    episode = result["episodes"][0]
    assert episode["policy"] == "stageroute"
    assert sum(episode["lp_counts"].values()) == 1_500
    assert sum(episode["shares"].values()) == pytest.approx(1.0)
    assert files[1].read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_figures_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    results = []
    for workers in ("1", "2"):
        path = tmp_path / f"{workers}.json"
        assert main(["bench", *QUICK, "--workers", workers, "--json", str(path)]) == 0
        result = json.loads(path.read_text())
        for episode in result["episodes"]:
            del episode["nanoseconds_per_query"], episode["milliseconds_deploying"]
        results.append(result)
    assert results[0] == results[1]


def test_bench_with_another_solver(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Uniform routing has no use for the solver: its regret is measured against an oracle that has.
    regrets = []
    for solver in ("highs", "native"):
        path = tmp_path / f"{solver}.json"
        # Caps that four live models can hardly meet, so that the number of live models matters.
        limits = ["--max-deployed", "3", "--throughput-cap", "0.36", "--solver", solver]
        assert main(["bench", *QUICK, *limits, "--workers", "1", "--json", str(path)]) == 0
        assert f"solver {solver};" in capsys.readouterr().out
        result = json.loads(path.read_text())
        assert result["settings"]["limits"][0]["solver"] == solver
        regrets.append([e["regret"] for e in result["episodes"] if e["policy"] == "uniform"])
    assert regrets[0] == pytest.approx(regrets[1], abs=1e-8)


def test_bench_over_a_table_of_ones_own(
    table_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bench", "--data", str(table_file), *QUICK, "--workers", "1", "--max-deployed"]
    options = ["3", "--order", "in_order", "--arrival-order", "dear,cheap,middling"]
    learner = ["--confidence", "paper", "--gamma", "0.1", "--min-visits", "0", "--know-prices"]
    assert main([*arguments, *options, *learner, "--pacing-horizon", "off"]) == 0
    text = capsys.readouterr().out
    assert "paper (gamma 0.1, growth 0, 0 forced visits), pacing = off, prices known" in text
    assert "middling" in text


def test_the_surrogate_of_routerbench(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "data" / "routerbench_0shot_11m_sample2224"
    arguments = [
        "bench", "--data", str(folder / "routerbench_0shot_11m_sample2224.parquet"),
        "--weights", str(folder / "balance_weights.parquet"), *QUICK, "--workers", "1",
    ]  # fmt: skip
    assert main(arguments) == 0
    assert "gpt-4-1106-preview" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_replay_writes_every_decision(table_file: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"decisions{suffix}"
    arguments = ["replay", "--data", str(table_file), "--queries", "300", "--stages", "3"]
    options = ["--max-deployed", "2", "--retire", "dear=100"]
    assert main([*arguments, *options, "--out", str(out)]) == 0
    if suffix == ".npz":
        columns = dict(np.load(out))
        models, stages = columns["model"].tolist(), columns["stage"].tolist()
    else:
        rows = list(csv.DictReader(out.read_text().splitlines()))
        models, stages = [r["model"] for r in rows], [int(r["stage"]) for r in rows]
    assert len(models) == 300
    assert set(models[:100]) <= {"cheap", "middling", "dear"}
    assert set(models[100:]) <= {"cheap", "middling"}
    assert [stages[0], stages[100], stages[299]] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--budget", "-1"], "budget = -1.0: must be finite and above 0"),
        (["bench", "--data", "absent.parquet"], "absent.parquet"),
        (["bench", "--weights", "w.csv"], "--weights belongs to a table: give --data too"),
        (["bench", "--json", "absent/o.json"], "there is no folder absent"),
        (["bench", "--gamma", "0"], "gamma = 0.0: must be above 0"),
        (["bench", "--seeds", "0"], "seeds = (): must name at least one"),
        (["bench", "--stages", "0"], "num_stages = 0: must be in [1, 1500]"),
        (["bench", "--pacing-horizon", "soon"], "must be a number of queries, or 'off'"),
        (["bench", "--models", "gpt-9"], "gpt-9"),
        (["bench", "--retire", "gpt-4"], "--retire 'gpt-4': must be MODEL=QUERY"),
        (["bench", "--retire", "gpt-9=5"], "retirements names 'gpt-9'"),
        (["replay", "--out", "o.txt"], "--out = o.txt: must end in .csv or .npz"),
    ],
)
def test_errors_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, rest = arguments[0], arguments[1:]
    quick = ["--queries", "1500"] + (["--workers", "1"] if command == "bench" else [])
    assert main([command, *quick, *rest]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("stageroute: ")
    assert message in error


def test_wrong_usage_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--policies", "best"])
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.mark.slow
def test_interrupting_keeps_what_is_finished() -> None:
    command = [
        sys.executable, "-m", "stageroute", "bench", "--seeds", "4000", "--stages", "10",
        "--queries", "3000", "--workers", "2", "--no-progress",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "interrupted after" in err
    assert "share of traffic" in out
