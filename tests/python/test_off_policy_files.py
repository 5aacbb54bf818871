"""Logs from the sinks' files, joined with outcomes, and ``stageroute evaluate`` over them."""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stageroute import DecisionLog, LoggedDecision, Model, StageRouter
from stageroute.decision_log.batch import DecisionBatch
from stageroute.decision_log.sinks import JsonLinesSink, ParquetSink, Sink
from stageroute.errors import DatasetError, InvalidInputError, MissingExtraError
from stageroute.off_policy import read_log

pyarrow = pytest.importorskip("pyarrow", reason="left out: stageroute[parquet] is not installed")
csv, parquet = (pytest.importorskip(f"pyarrow.{name}") for name in ("csv", "parquet"))

COSTS = {"a": 0.0005, "b": 0.001, "c": 0.004}
QUALITIES = {"a": 0.3, "b": 0.5, "c": 0.8}
MODELS = [Model(name, 0.6, cost) for name, cost in COSTS.items()]
Rows = Sequence[dict[str, Any]]


def drive(sink: Sink, queries: int = 2_000) -> list[dict[str, Any]]:
    """Route queries over a log; return what each brought."""
    generator = np.random.default_rng(2)
    outcomes = []
    log = DecisionLog(sink)
    with StageRouter(MODELS, budget=0.001, max_deployed=3, seed=1, decision_log=log) as router:
        for _ in range(queries):
            decision = router.route()
            reward = float(generator.random() < QUALITIES[decision.model])
            cost = COSTS[decision.model] * generator.uniform(0.5, 1.5)
            router.observe(decision, reward=reward, cost=cost)
            outcomes.append({"id": decision.id, "reward": reward, "cost": cost})
    return outcomes


def write(path: Path, rows: Rows) -> Path:
    """Write outcomes, or a log, in the format that the name asks for."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        table = pyarrow.Table.from_pylist(list(rows))
        write_table = csv.write_csv if path.suffix == ".csv" else parquet.write_table
        write_table(table, path)
    return path


@pytest.mark.parametrize("log", ["log.jsonl", "log"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_what_the_sinks_wrote_comes_back(tmp_path: Path, log: str, suffix: str) -> None:
    path = tmp_path / log
    sink = JsonLinesSink(path) if path.suffix else ParquetSink(path)
    rows: list[LoggedDecision] = []

    def both(batch: DecisionBatch) -> None:
        rows.extend(batch)
        sink(batch)

    outcomes = drive(both, 300)
    joined = read_log(path, write(tmp_path / f"outcomes{suffix}", outcomes))
    data = joined.data
    assert (joined.broken_lines, joined.repeated, joined.unmatched) == (0, 0, 0)
    assert len(data) == len(rows) == 300
    for k, row in enumerate(rows):
        assert data.models[data.arm[k]] == row.model
        assert data.probabilities[k, data.arm[k]] == row.probability
        live = [data.models.index(name) for name in row.models]
        assert data.probabilities[k, live].tolist() == list(row.probabilities)
    assert data.reward.tolist() == [outcome["reward"] for outcome in outcomes]
    np.testing.assert_allclose(data.cost, [outcome["cost"] for outcome in outcomes], rtol=1e-15)
    assert data.group is None


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Six decisions over two models, as the sink writes them."""
    rows = [
        {
            "id": k, "stage": 1 + k // 3, "model": "ab"[k % 2],
            "models": ["a", "b"], "probabilities": [0.4, 0.6],
        }
        for k in range(6)
    ]  # fmt: skip
    return write(tmp_path / "log.jsonl", rows)


def test_outcomes_come_apart_late_twice_and_for_others(log: Path, tmp_path: Path) -> None:
    outcomes: Rows = [
        {"id": 3, "cost": 0.1},
        {"id": 1, "reward": 0.25, "cost": None},
        {"id": 3, "reward": 0.5},
        {"id": 3, "reward": 0.75, "cost": 0.2},
        {"id": 99, "reward": 1.0},
        {"id": 4, "reward": None},
    ]
    joined = read_log(log, write(tmp_path / "o.jsonl", outcomes))
    assert (joined.repeated, joined.unmatched) == (2, 1)
    assert joined.data.reward.tolist() == pytest.approx(
        [math.nan, 0.25, math.nan, 0.5, math.nan, math.nan], nan_ok=True
    )
    assert joined.data.cost[3] == 0.1
    assert np.isnan(joined.data.cost).sum() == 5


def test_half_a_line_is_passed_over_and_counted(log: Path) -> None:
    log.write_text(log.read_text() + '{"id": 6, "model": "a", "mod\n[1, 2]\n\n')
    joined = read_log(log)
    assert (len(joined.data), joined.broken_lines) == (6, 2)


def test_outcomes_and_groups_may_stand_in_the_log(log: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    for k, row in enumerate(reversed(rows)):
        row |= {"reward": k / 10, "cost": 0.001}
    # In any order: an id is a place in time.
    joined = read_log(write(tmp_path / "l.jsonl", rows[::-1]), group="stage")
    assert joined.data.reward.tolist() == [0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    assert joined.data.group is not None
    assert joined.data.group.tolist() == ["1"] * 3 + ["2"] * 3


def test_groups_may_stand_in_the_outcomes(log: Path, tmp_path: Path) -> None:
    rows: Rows = [{"id": k, "reward": 1.0, "task": "xy"[k % 2]} for k in range(5)]
    for name in ("o.jsonl", "o.csv"):
        data = read_log(log, write(tmp_path / name, rows), group="task").data
        assert data.group is not None
        assert data.group.tolist() == ["x", "y", "x", "y", "x", ""]
    with pytest.raises(DatasetError, match="group = 'topic': 5 decisions have no such field"):
        read_log(log, tmp_path / "o.csv", group="topic")


def test_files_that_cannot_be_used(log: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "not.parquet").write_text("no")
    (tmp_path / "notes.txt").touch()
    write(tmp_path / "twice.jsonl", [json.loads(line) for line in log.read_text().splitlines() * 2])
    write(tmp_path / "other.jsonl", [{"id": 1, "text": "hello"}])
    bad = write(tmp_path / "bad.jsonl", [{"id": 1, "reward": "good"}])
    large = write(tmp_path / "large.jsonl", [{"id": 1, "reward": 7.0}])
    for name, message in {
        "absent.jsonl": "there is no such file or folder",
        "empty.jsonl": "holds no decision",
        "not.parquet": "not parquet that can be read",
        "notes.txt": r"must be \.jsonl, \.csv, \.parquet, or a folder",
        "twice.jsonl": "decision 0 is there twice; a router that was started anew",
        "other.jsonl": "not a decision log: .* got KeyError.'model'. from one with id, text",
    }.items():
        with pytest.raises(DatasetError, match=message):
            read_log(tmp_path / name)
    with pytest.raises(DatasetError, match=r"'reward': 'good'.*it needs an id and numbers"):
        read_log(log, bad)
    with pytest.raises(InvalidInputError, match=r"reward\[1\] = 7.0: must be in \[0, 1\]"):
        read_log(log, large)


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for use in (read_log, DecisionLog):
        with pytest.raises(MissingExtraError, match=r"pip install 'stageroute\[parquet\]'"):
            use(tmp_path)


@pytest.fixture
def evaluate(tmp_path: Path, cli: Callable[..., tuple[str, str]]) -> Callable[..., tuple[str, str]]:
    """The command, for a log and its outcomes."""
    log, outcomes = tmp_path / "log.jsonl", tmp_path / "outcomes.jsonl"
    write(outcomes, drive(JsonLinesSink(log))[:1_900])
    return partial(cli, "evaluate", log, "--outcomes", outcomes)


def test_evaluate_prints_a_table_and_writes_json(
    tmp_path: Path, evaluate: Callable[..., tuple[str, str]]
) -> None:
    mixtures = ["--mixture", "a=0.6,b=0.4", "b=0.5,c=0.5", "--level", 0.9]
    best = ["--best-under-budget", 0.001, "--max-deployed", 2, "--throughput-cap", 0.9]
    path = tmp_path / "o.json"
    text, errors = evaluate(*mixtures, *best, "--json", path)
    assert errors == ""
    for expected in (
        "2,000 decisions over 3 models",
        "known for 1,900 decisions",
        "a=0.6,b=0.4",
        "90 % interval",
        "snips",
        "reward: 100 decisions without a reward are left out",
        "best under 0.001",
        "chosen from the first 1,000 decisions: ",
        "worth",
    ):
        assert expected in text, expected
    result = json.loads(path.read_text())
    assert [e["target"] for e in result["evaluations"][:2]] == ["a=0.6,b=0.4", "b=0.5,c=0.5"]
    assert result["logged"]["cost"]["mean"] == pytest.approx(0.001, rel=0.1)
    cost = result["evaluations"][0]["cost"]
    assert cost["without_outcome"] == 100
    assert cost["estimates"]["snips"]["value"] == pytest.approx(0.6 * 0.0005 + 0.4 * 0.001, rel=0.1)
    mixture = result["evaluations"][2]["mixture"]
    assert sum(mixture.values()) == pytest.approx(1.0)
    assert len(mixture) <= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to evaluate: give --mixture or --best-under-budget"),
        (["--mixture", "a"], "--mixture 'a': must be MODEL=SHARE,..., as in gpt-4=0.2"),
        (["--mixture", "a=1,z=0"], "mixture = 'z': was never live in this log; it has a, b, c"),
        (["--mixture", "a=0.3"], "sums to 0.3, not to 1"),
        (["--best-under-budget", "0.0001"], "budget_infeasible"),
        (["--best-under-budget", "1", "--live", "z"], "live = 'z': was never live in this log"),
        (["--mixture", "a=1", "--clip", "0"], "clip = 0.0: must be finite and above 0"),
        (["--mixture", "a=1", "--group", "topic"], "group = 'topic': 1,900 decisions have no"),
        (["--mixture", "a=1", "--json", "absent/o.json"], "there is no folder absent"),
    ],
)
def test_wrong_usage(
    evaluate: Callable[..., tuple[str, str]], arguments: list[str], message: str
) -> None:
    assert message in evaluate(*arguments, status=1)[1]
