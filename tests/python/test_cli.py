"""The command line, run as its user runs it."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stageroute import __version__

Cli = Callable[..., tuple[str, str]]
QUICK = ["--queries", "1500", "--stages", "5", "--seeds", "2", "--no-progress", "--workers", "1"]


@pytest.mark.slow
def test_bench_prints_figures_and_writes_json_and_a_picture(cli: Cli, tmp_path: Path) -> None:
    numbers, picture = tmp_path / "o.json", tmp_path / "o.png"
    budgets = ["--budget", "0.0005", "0.002"]
    text, errors = cli("bench", *QUICK, *budgets, "--json", numbers, "--plot", picture)
    assert errors == ""
    for expected in ("b = 0.0005", "b = 0.002", "stageroute", "uniform", "K = 5", "T = 1,500"):
        assert expected in text
    result = json.loads(numbers.read_text())
    assert (result["version"], result["format"]) == (__version__, 2)
    assert len(result["episodes"]) == 2 * 4 * 2
    episode = result["episodes"][0]
    assert episode["policy"] == "stageroute"
    assert sum(json.loads(episode["lp_counts"]).values()) == 1_500
    assert sum(episode["shares"]) == pytest.approx(1.0)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_bench_with_another_solver_and_json_to_standard_output(cli: Cli) -> None:
    # Uniform routing has no use for the solver: its regret is measured against an oracle that has.
    regrets = []
    for solver in ("highs", "native"):
        # Caps that four live models can hardly meet, so that the number of live models matters.
        limits = ["--max-deployed", "3", "--throughput-cap", "0.36", "--solver", solver]
        output, errors = cli("bench", *QUICK, *limits, "--json", "-")
        assert "regret, %" in errors
        assert f"solver {solver};" in errors
        result = json.loads(output)
        assert result["settings"]["limits"]["solver"] == solver
        regrets.append([e["regret"] for e in result["episodes"] if e["policy"] == "uniform"])
    assert regrets[0] == pytest.approx(regrets[1], abs=1e-8)


def test_bench_over_a_table_of_ones_own(cli: Cli, small_file: Path) -> None:
    options = ["--max-deployed", "3", "--order", "in_order", "--pacing-horizon", "off"]
    options += ["--arrival-order", "expensive,cheap,middling", "--prices", "known"]
    options += ["--confidence", "paper", "--gamma", "0.1", "--min-visits", "0"]
    text, _ = cli("bench", "--data", small_file, *QUICK, *options)
    assert "paper (gamma 0.1, growth 0, 0 forced visits), pacing = off, prices known" in text
    assert "middling" in text


@pytest.mark.slow
def test_the_surrogate_of_routerbench(cli: Cli, shared_data: Path) -> None:
    folder = shared_data / "data" / "routerbench_0shot_11m_sample2224"
    table, weights = folder / f"{folder.name}.parquet", folder / "balance_weights.parquet"
    text, _ = cli("bench", "--data", table, "--weights", weights, *QUICK)
    assert "gpt-4-1106-preview" in text


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_replay_writes_every_decision(
    cli: Cli, small_file: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"decisions{suffix}"
    options = ["--queries", "300", "--stages", "3", "--max-deployed", "2"]
    cli("replay", "--data", small_file, *options, "--retire", "expensive=100", "--out", out)
    if suffix == ".npz":
        columns = dict(np.load(out))
        models, stages = columns["model"].tolist(), columns["stage"].tolist()
    else:
        rows = list(csv.DictReader(out.read_text().splitlines()))
        models, stages = [r["model"] for r in rows], [int(r["stage"]) for r in rows]
    assert len(models) == 300
    assert set(models[:100]) <= {"cheap", "middling", "expensive"}
    assert set(models[100:]) <= {"cheap", "middling"}
    assert [stages[0], stages[100], stages[299]] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--budget", "-1"], "budget = -1.0: must be finite and above 0"),
        (["bench", "--data", "absent.parquet"], "absent.parquet"),
        (["bench", "--weights", "w.csv"], "--weights belongs to a table: give --data too"),
        (["bench", "--workload", "sota", "--data", "x.csv"], "--data: is for a table"),
        (["bench", "--json", "absent/o.json"], "there is no folder absent"),
        (["bench", "--gamma", "0"], "gamma = 0.0: must be finite and above 0"),
        (["bench", "--seeds", "0"], "seeds = (): must name at least one"),
        (["bench", "--stages", "0"], "num_stages = 0: must be in [1, 1500]"),
        (["bench", "--models", "gpt-9"], "gpt-9"),
        (["bench", "--policies", "stagerout"], "did you mean 'stageroute'?"),
        (["bench", "--retire", "gpt-4"], "--retire 'gpt-4': must be MODEL=QUERY"),
        (["bench", "--retire", "gpt-9=5"], "retirements names 'gpt-9'"),
        (["replay", "--out", "o.txt"], "--out = o.txt: must end in .csv or .npz"),
    ],
)
def test_errors_are_one_line(cli: Cli, arguments: list[str], message: str) -> None:
    command, rest = arguments[0], arguments[1:]
    quick = ["--queries", "1500"] + (["--workers", "1"] if command == "bench" else [])
    _, errors = cli(command, *quick, *rest, status=1)
    error = errors.strip().splitlines()[-1]
    assert error.startswith("stageroute: ")
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["benhc"], 'Did you mean "bench"?'),
        (["bench", "--polices", "greedy"], "Did you mean --policies?"),
        (["bench", "--prices", "some"], 'Choose from: "known", "unknown"'),
        (["bench", "--pacing-horizon", "soon"], "'soon' must be a number, or 'off'"),
        (["study", "comparison"], "--out"),
        (["study", "comparisons", "--out", "o"], "comparison"),
    ],
)
def test_wrong_usage(cli: Cli, arguments: list[str], message: str) -> None:
    _, errors = cli(*arguments, status=2)
    assert message in unboxed(errors)


def unboxed(text: str) -> str:
    return " ".join(line.strip("│ ") for line in text.splitlines())


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version")[0].strip() == f"stageroute {__version__}"
    for command in ("bench", "replay", "scenarios", "study", "compare", "report", "evaluate",
                    "drill"):  # fmt: skip
        assert f"Usage: stageroute {command}" in cli(command, "--help")[0]
    # Names, defaults and meanings are those of the settings.
    text = unboxed(cli("bench", "--help")[0])
    for expected in ("--pacing-horizon", "[default: 500.0]", "[default: known]", "--initial-models",
                     "How many models can be live at once.", "[default: native]"):  # fmt: skip
        assert expected in text
    assert "--reward-prior" not in text


@pytest.mark.slow
def test_interrupting_keeps_what_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [
        sys.executable, "-m", "stageroute", "bench", "--seeds", "4000", "--stages", "10",
        "--queries", "3000", "--workers", "2", "--policies", "uniform", "--policies",
        "wrong_policies:Interrupting", "--json", str(out),
    ]  # fmt: skip
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": paths, "INTERRUPT": str(tmp_path / "interrupt")},
    )  # fmt: skip
    assert process.returncode == 130, process.stderr
    assert "interrupted after" in process.stderr
    assert "Share of traffic" in process.stdout
    assert json.loads(out.read_text())["episodes"]
