"""Whatever a file holds or a command line says: an error of this package and no traceback."""

import json
import math
import random
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stageroute import DecisionLog, StageRouter
from stageroute.cli import main
from stageroute.datasets import cells, read_table
from stageroute.errors import DatasetError, StageRouteError
from stageroute.off_policy import read_log

CELLS = ["", "NA", "true", "0,5", "0.5", "0.5", "1", "2", "inf", "-1", "q1", "12.0", '"', "é", "\0",
         "1_0", "9" * 5_000]  # fmt: skip
VALUES: list[Any] = [
    None,
    True,
    1,
    1.5,
    -1,
    10**400,
    "x",
    [0.5, 0.5],
    [2, -1],
    ["a", "b"],
    "a",
    {},
    "NaN",
]
DECISION = {"id": 1, "model": "a", "models": ["a", "b"], "probabilities": [0.5, 0.5]}


def draw_file(draw: random.Random, suffix: str) -> bytes:
    """Return a file that looks like one of those that are read, with a mistake in it or two."""
    if suffix == ".jsonl":
        names = [*DECISION, "probability", "reward", "cost"]
        given = [DECISION | {draw.choice(names): draw.choice(VALUES)} for _ in range(2)]
        data = "\n".join(map(json.dumps, given[: draw.randrange(3)])).encode()
    else:
        header = draw.choice([["query_id", "reward:a", "cost:a"], ["id", "reward", "cost"]])
        rows = [[draw.choice(CELLS) for _ in header] for _ in range(draw.randrange(3))]
        data = "\n".join(map(draw.choice(",;\t").join, [header, *rows])).encode()
    if draw.random() < 0.3:
        data = draw.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"PAR1", b"PK\x03\x04"]) + data
    if draw.random() < 0.3:
        data = data[: draw.randrange(len(data) + 1)] + draw.choice([b"", b"\xe9", b"\xc3", b"\0"])
    return data


def test_every_error_of_a_file_is_typed(tmp_path: Path) -> None:
    draw, taken, refusals = random.Random(2), 0, []
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(DECISION))
    for _ in range(600):
        suffix = draw.choice([".csv", ".csv", ".jsonl", ".npz", ".parquet", ".txt"])
        path = tmp_path / f"file{suffix}"
        path.write_bytes(draw_file(draw, suffix))
        for read in (read_table, read_log, partial(read_log, log)):
            try:
                read(path)
                taken += 1
            except StageRouteError as error:
                refusals.append(str(error))
    assert taken > 50
    assert max(map(len, refusals)) < 2_000


@pytest.mark.parametrize(
    ("text", "reward", "cost"),
    [
        ("query_id;reward:a;cost:a\nq1;1,0;0,01\n", 1.0, 0.01),
        ("\ufeffquery_id\treward:a\tcost:a\nq1\ttrue\t0.01\n", 1.0, 0.01),
        ("query_id,reward:a,cost:a\n12.0,False,1e-2\n", 0.0, 0.01),
    ],
)
def test_tables_as_spreadsheets_write_them(
    text: str, reward: float, cost: float, tmp_path: Path
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    table = read_table(path)
    assert (table.reward.item(), table.cost.item()) == (reward, cost)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"query_id;reward:a;cost:a\nq1;0,5;1\nq2;0.5;1\n", "decimal commas and decimal points"),
        (b'query_id,reward:a,cost:a\nq1,"0,5",1\n', "decimal commas need semicolons"),
        (b"query_id,reward:a,cost:a\nq\xe9,1,1\n", r"not UTF-8 text \(byte 26, line 2\)"),
        (b"query_id,reward:a,cost:a\nq1,1,NA\n", "missing"),
        (b"query_id,reward:a,cost:a\nq1,1,true\n", "'true' is not a number"),
        (b"query_id,reward:a,cost:a\nq1,1,1_0\n", "'1_0' is not a number"),
    ],
)
def test_tables_that_cannot_be_meant(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=message):
        read_table(path)


def test_a_small_file_of_many_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    path = tmp_path / "t.parquet"
    columns = {name: np.zeros(1_000_000) for name in ("reward:a", "cost:a")}
    pq.write_table(pa.table(columns), path)
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(cells, "MOST_BYTES", 1_000_000)
    with pytest.raises(DatasetError, match="more than 1,000,000 bytes, unpacked"):
        read_table(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("probabilities", [2.0, -1.0], r"decision 1: probabilities = .*: must be in \[0, 1\]"),
        ("probabilities", [0.5, math.nan], r"must be in \[0, 1\]"),
        ("probabilities", [0.5, 0.6], "must sum to 1"),
        ("probabilities", [1.0], "must be 2, one for each model"),
        ("probability", 2.0, "must be that of the model"),
        ("model", "c", "must be one of the live models, a, b"),
        ("models", ["a", "a"], "none of them twice"),
        ("id", 1.5, "1.5 is not a whole number"),
    ],
)
def test_a_log_that_cannot_be_true(field: str, value: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(DECISION | {field: value}))
    with pytest.raises(DatasetError, match=message):
        read_log(path)


# ---- the command line ----------------------------------------------------------------------------

WORDS = ["0", "-1", "1", "nan", "inf", "1e999", "9" * 5_000, "", "x", "é", "\udce9", "a\0b",
         "off", "=1", ",", "a=0.5,b=0.5", "a=nan", "a=2,b=-1", "/", "nowhere/x.csv",
         "x.txt", "-"]  # fmt: skip
OPTIONS = {
    "bench": ["--data", "--workload", "--budget", "--queries", "--stages", "--seeds",
              "--first-seed", "--workers", "--json", "--plot", "--markdown", "--figures", "--out",
              "--models",
              "--max-deployed", "--throughput-cap", "--policies", "--order", "--arrival-order",
              "--initial-models", "--retire", "--pacing-horizon", "--gamma", "--weights"],
    "replay": ["--data", "--out", "--policy", "--budget", "--seed", "--queries", "--stages"],
    "evaluate": ["--outcomes", "--mixture", "--best-under-budget", "--max-deployed", "--live",
                 "--throughput-cap", "--group", "--clip", "--level", "--json"],
    "compare": ["--json"],
    "report": ["--out"],
    "drill": ["--trace", "--queries", "--plot", "--json", "--seed", "--budget"],
}  # fmt: skip


def test_no_command_line_ends_in_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("query_id,reward:a,cost:a\nq1,1,0.01\nq2,0,0.02\n")
    log = DecisionLog("d.jsonl")
    with StageRouter(["a", "b"], budget=1.0, max_deployed=2, decision_log=log) as router:
        router.route()
    quick = ["--queries", "2", "--stages", "1"]
    usual = {
        "bench": ["--data", "t.csv", *quick, "--seeds", "1", "--workers", "1", "--no-progress"],
        "replay": ["--data", "t.csv", *quick, "--out", "o.csv"],
        "evaluate": ["d.jsonl", "--mixture", "a=0.5,b=0.5"],
        "compare": ["t.csv", "d.jsonl"],
        "report": ["t.csv", "--out", "o.html"],
        "drill": ["--queries", "1", "--no-progress"],
    }
    for _ in range(250):
        command = draw.choice([*usual])
        words = [*usual[command]]
        for _ in range(draw.randint(1, 2)):
            words += [draw.choice(OPTIONS[command]), draw.choice(WORDS)]
        status = main([command, *words])
        errors = capfd.readouterr().err
        assert status in (0, 1, 2), words
        assert "Traceback" not in errors, words
        assert "a fault of this program" not in errors, (words, errors)


def test_results_are_written_although_nobody_reads(tmp_path: Path) -> None:
    out = tmp_path / "o.json"
    command = [sys.executable, "-m", "stageroute", "bench", "--queries", "20", "--stages", "1",
               "--seeds", "1", "--workers", "1", "--no-progress", "--json", str(out)]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(60) == 141
    assert json.loads(out.read_text())["episodes"]


def test_decisions_are_no_formulas_and_follow_no_link(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table, out, other = tmp_path / "t.csv", tmp_path / "o.csv", tmp_path / "other"
    table.write_text("query_id,reward:=1+1,cost:=1+1\nq1,1,0.01\n")
    words = ["replay", "--data", str(table), "--queries", "2", "--stages", "1", "--out", str(out)]
    assert main(words) == 0
    assert ",'=1+1," in out.read_text()
    out.unlink()
    other.write_text("mine")
    out.symlink_to(other)
    assert main(words) == 1
    assert "no link is followed" in capfd.readouterr().err
    assert other.read_text() == "mine"
