"""Reading tables from files: the formats, the real files, and damaged ones."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stageroute.datasets import OutcomeTable, read_table
from stageroute.errors import DatasetError

SMALL: dict[str, list[Any]] = {
    "query_id": ["q0", "q1", "q2"],
    "eval_name": ["gsm", "gsm", "mmlu"],
    "prompt": ["a,b", 'say "x"', "two\nlines"],
    "reward:org/a": [0.0, 1.0, 0.5],
    "reward:b": [1.0, 0.25, 0.0],
    "cost:b": [0.003, 0.0, 0.004],
    "cost:org/a": [0.001, 0.002, 0.0],
}


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    elif path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table(columns), path)
    else:
        models = [name[7:] for name in columns if name.startswith("reward:")]
        arrays: dict[str, Any] = {
            "models": np.array(models),
            "reward": np.array([columns[f"reward:{m}"] for m in models]).T,
            "cost": np.array([columns[f"cost:{m}"] for m in models]).T,
        }
        labels: dict[str, Any] = {
            k: np.array(columns[k]) for k in ("query_id", "eval_name") if k in columns
        }
        np.savez(path, **arrays, **labels)
    return path


def refuse(path: Path, *words: str, **options: Any) -> None:
    """Check that a file is refused, in a message with its path and these words."""
    with pytest.raises(DatasetError) as caught:
        read_table(path, **options)
    for word in (str(path), *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_formats_agree(tmp_path: Path, suffix: str) -> None:
    t = read_table(write(tmp_path / f"small{suffix}", SMALL))
    assert t.name == "small"
    assert t.models == ("org/a", "b")
    assert t.reward.tolist() == [[0.0, 1.0], [1.0, 0.25], [0.5, 0.0]]
    assert t.cost.tolist() == [[0.001, 0.003], [0.002, 0.0], [0.0, 0.004]]
    np.testing.assert_array_equal(t.query_id, ["q0", "q1", "q2"])
    np.testing.assert_array_equal(t.task, ["gsm", "gsm", "mmlu"])
    assert t.weights is None


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_missing_values_and_both_remedies(tmp_path: Path, suffix: str) -> None:
    gap = "" if suffix == ".csv" else None if suffix == ".parquet" else float("nan")
    columns = SMALL | {"reward:b": [1.0, gap, 0.0], "cost:b": [0.1, gap, 0.2]}
    path = write(tmp_path / f"gap{suffix}", columns)
    refuse(path, "b in 1 row(s)", "row 1")
    assert read_table(path, models=["org/a"]).num_rows == 3
    dropped = read_table(path, drop_missing=True, name="dropped")
    assert dropped.name == "dropped"
    np.testing.assert_array_equal(dropped.query_id, ["q0", "q2"])
    nothing = write(tmp_path / "t.csv", SMALL | {"reward:b": ["", "", ""]})
    refuse(nothing, "leaves no row", drop_missing=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("drop", "add", "words"),
    [
        ("cost:b", {}, ["reward:b", "cost:b"]),
        ("reward:b", {}, ["cost:b", "reward:b"]),
        ("", {"reward:b": ["x", "y", "z"]}, ["reward:b", "'x'"]),
        ("", {"reward:b": [0.0, 1.01, 0.0]}, ["reward of model 'b'", "1.01", "row 1", "q1"]),
        ("", {"query_id": ["q0", "", "q2"]}, ["query_id", "row 1"]),
        ("", {"eval_name": ["e", "f", "g" * 1001]}, ["eval_name", "row 2", "1001"]),
    ],
)
def test_column_refusals(
    tmp_path: Path, suffix: str, drop: str, add: dict[str, Any], words: list[str]
) -> None:
    columns = {k: v for k, v in (SMALL | add).items() if k != drop}
    refuse(write(tmp_path / f"t{suffix}", columns), *words)


def test_no_model_and_unknown_model(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", SMALL)
    refuse(path, "'zz'", "org/a, b", models=["zz"])
    refuse(write(tmp_path / "n.csv", {"query_id": ["q"]}), "at least one model")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", ["empty", "header"]),
        (b"\n\n", ["empty"]),
        (b"reward:a,cost:a\n", ["no rows"]),
        (b"reward:a,reward:a,cost:a\n1,1,1\n", ["'reward:a'", "twice"]),
        (b"reward:a,cost:a\n1,2\n1\n", ["line 3", "1 cells", "2"]),
        (b'reward:a,cost:a\n1,"2\n', ["line 2", "CSV"]),
        (b"reward:a,cost:a\n1,2\nhigh,2\n", ["'reward:a'", "line 3", "'high'"]),
        (b"reward:a,cost:a\n\xff,1\n", ["UTF-8"]),
    ],
)
def test_csv_refusals(tmp_path: Path, text: bytes, words: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    refuse(path, *words)


def test_csv_with_byte_order_mark_blank_lines_and_a_huge_prompt(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    prompt = "x" * 200_000
    path.write_text(f"\ufeffreward:a,cost:a,prompt\r\n\r\n1, 2 ,{prompt}\r\n\r\n", encoding="utf-8")
    assert read_table(path).cost.tolist() == [[2.0]]
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_damaged_binary_files(tmp_path: Path, suffix: str) -> None:
    whole = write(tmp_path / f"t{suffix}", SMALL).read_bytes()
    for content in (b"", b"not this format", whole[: len(whole) // 2], whole[:-3]):
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content)
        refuse(path, "readable")


def test_parquet_labels_that_are_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", SMALL)
    path.write_bytes(path.read_bytes().replace(b"gsm", b"g\xfcm"))
    refuse(path, "readable")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": np.array([1, 2])}, ["models", "strings"]),
        ({"models": np.array([["a", "b"]])}, ["models", "1-D"]),
        ({"reward": np.zeros((3, 3))}, ["reward", "(rows, 2)"]),
        ({"cost": np.zeros((3, 2), dtype=complex)}, ["cost", "complex"]),
        ({"cost": np.zeros((4, 2))}, ["rows"]),
        ({"eval_name": np.array(["x"])}, ["eval_name", "3 strings"]),
        ({"query_id": np.array([1, 2, 3])}, ["query_id", "strings"]),
        ({"weights": np.array([1.0])}, ["weights", "(3,)"]),
        ({"reward": np.array([[None, {}]] * 3)}, ["Python objects"]),
        ({"models": None}, ["'models' is missing"]),
    ],
)
def test_npz_refusals(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    arrays: dict[str, Any] = {
        "models": np.array(["a", "b"]),
        "reward": np.zeros((3, 2)),
        "cost": np.zeros((3, 2)),
    }
    path = tmp_path / "t.npz"
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    refuse(path, *words)


def test_npz_weights(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {"models": np.array(["a"]), "weights": np.array([3, 1])}
    path = tmp_path / "t.npz"
    np.savez(path, reward=np.eye(2)[:, :1], cost=np.ones((2, 1)), **arrays)
    assert read_table(path).mean_reward().tolist() == [0.75]
    ids = write(tmp_path / "w.csv", {"query_id": ["q"], "weight": [1]})
    refuse(path, "holds weights already", weights=ids)


@pytest.mark.parametrize("name", ["t.json", "t", "t.csv.gz"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    refuse(tmp_path / name, ".parquet, .csv, .npz")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz", ".pkl"])
def test_absent_file_and_directory(tmp_path: Path, suffix: str) -> None:
    refuse(tmp_path / f"absent{suffix}", allow_pickle=True)
    (tmp_path / f"folder{suffix}").mkdir()
    refuse(tmp_path / f"folder{suffix}", allow_pickle=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_weights_are_matched_by_id(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / "t.csv", SMALL)
    columns: dict[str, list[Any]] = {"query_id": ["q2", "q0", "q1"], "weight": [1.0, 2.0, 1.0]}
    t = read_table(path, weights=write(tmp_path / f"w{suffix}", columns))
    np.testing.assert_array_equal(t.weights, [0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("ids", "weights", "words"),
    [
        (["q0", "q1"], [1, 1], ["1 of 3", "'q2'"]),
        (["q0", "q1", "q2", "q9"], [1, 1, 1, 1], ["not in the table", "'q9'"]),
        (["q0", "q1", "q1"], [1, 1, 1], ["'q1'", "twice"]),
        (["q0", "q1", "q2"], [1, "", 1], ["weights", "nan"]),
    ],
)
def test_weight_refusals(
    tmp_path: Path, ids: list[str], weights: list[Any], words: list[str]
) -> None:
    path = write(tmp_path / "t.csv", SMALL)
    file = write(tmp_path / "w.csv", {"query_id": ids, "weight": weights})
    refuse(path, *words, weights=file)


def test_weight_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", SMALL)
    refuse(path, "weights file", weights=tmp_path / "w.npz")
    refuse(path, "'weight'", weights=write(tmp_path / "w.csv", {"query_id": ["q0"]}))
    with pytest.raises(DatasetError, match=r"absent\.csv"):
        read_table(path, weights=tmp_path / "absent.csv")
    bare = write(tmp_path / "bare.csv", {k: SMALL[k] for k in ("reward:b", "cost:b")})
    refuse(bare, "no such column", weights=tmp_path / "w.csv")
    twice = write(tmp_path / "twice.csv", SMALL | {"query_id": ["q0", "q0", "q0"]})
    good = write(tmp_path / "one.csv", {"query_id": ["q0"], "weight": [1]})
    refuse(twice, "twice", weights=good)


def test_routerbench_sample_has_the_published_means(
    shared_data: Path, surrogate: OutcomeTable
) -> None:
    t, folder = surrogate, shared_data / "data" / "routerbench_0shot_11m_sample2224"
    assert (t.num_rows, t.num_models) == (2_224, 11)
    with (folder / "full_matrix_means.csv").open(encoding="utf-8") as file:
        means = {row[""]: row for row in csv.DictReader(file)}
    assert set(means) == set(t.models)
    for model, reward, cost in zip(t.models, t.mean_reward(), t.mean_cost(), strict=True):
        assert f"{reward:.4f}" == f"{float(means[model]['full_reward']):.4f}"
        assert f"{cost:.6f}" == f"{float(means[model]['full_cost']):.6f}"


def test_paretobandit(shared_data: Path) -> None:
    pytest.importorskip("pyarrow")
    path = shared_data / "data" / "paretobandit_4llm" / "paretobandit_4llm.parquet"
    refuse(path, "google/gemini-2.5-flash in 2638 row(s)", "2638 of 6197")
    dropped = read_table(path, drop_missing=True)
    assert (dropped.num_rows, dropped.num_models) == (3_559, 4)
    three = [name for name in dropped.models if "flash" not in name]
    whole: OutcomeTable = read_table(path, models=three)
    assert (whole.num_rows, whole.num_models) == (6_197, 3)
