"""Reading tables from files: the formats, the real files, and damaged ones."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stageroute.datasets import ROUTERBENCH_MODELS, OutcomeTable, read_table
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


ARRAYS = {"models": np.array(["a", "b"]), "reward": np.zeros((3, 2)), "cost": np.zeros((3, 2))}


def write(path: Path, content: bytes | dict[str, Any]) -> Path:
    """Write bytes, or columns, in the format of the suffix; or the arrays of a .npz file."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(content)
            writer.writerows(zip(*content.values(), strict=True))
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(content), path)
    elif "reward" in content:
        np.savez(path, **content)
    else:
        models = [name[7:] for name in content if name.startswith("reward:")]
        arrays = {name: np.array(content[name]) for name in ("query_id", "eval_name")}
        for kind in ("reward", "cost"):
            arrays |= {kind: np.array([content[f"{kind}:{model}"] for model in models]).T}
        write(path, arrays | {"models": np.array(models)})
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
    refuse(path, "'zz'", "org/a, b", models=["zz"])
    assert read_table(path, models=["org/a"]).num_rows == 3
    dropped = read_table(path, drop_missing=True, name="dropped")
    assert dropped.name == "dropped"
    np.testing.assert_array_equal(dropped.query_id, ["q0", "q2"])
    nothing = write(tmp_path / "t.csv", SMALL | {"reward:b": ["", "", ""]})
    refuse(nothing, "leaves no row", drop_missing=True)


def without(name: str) -> dict[str, Any]:
    return {key: values for key, values in SMALL.items() if key != name}


COLUMNS: list[tuple[dict[str, Any], list[str]]] = [
    (without("cost:b"), ["reward:b", "cost:b"]),
    (without("reward:b"), ["cost:b", "reward:b"]),
    (SMALL | {"reward:b": ["x", "y", "z"]}, ["reward:b", "'x'"]),
    (SMALL | {"reward:b": [0.0, 1.01, 0.0]}, ["reward of model 'b'", "1.01", "row 1", "q1"]),
    (SMALL | {"query_id": ["q0", "", "q2"]}, ["query_id", "row 1"]),
    (SMALL | {"eval_name": ["e", "f", "g" * 1001]}, ["eval_name", "row 2", "1001"]),
    ({"query_id": ["q"]}, ["at least one model"]),
]
CSV = [
    (b"", ["empty", "header"]),
    (b"\n\n", ["empty"]),
    (b"reward:a,cost:a\n", ["no rows"]),
    (b"reward:a,reward:a,cost:a\n1,1,1\n", ["'reward:a'", "twice"]),
    (b"reward:a,cost:a\n1,2\n1\n", ["line 3", "1 cells", "2"]),
    (b'reward:a,cost:a\n1,"2\n', ["line 2", "CSV"]),
    (b"reward:a,cost:a\n1,2\nhigh,2\n", ["'reward:a'", "line 3", "'high'"]),
    (b"reward:a,cost:a\n\xff,1\n", ["UTF-8"]),
]
NPZ: list[tuple[dict[str, Any], list[str]]] = [
    (ARRAYS | {"models": np.array([1, 2])}, ["models", "strings"]),
    (ARRAYS | {"models": np.array([["a", "b"]])}, ["models", "1-D"]),
    (ARRAYS | {"reward": np.zeros((3, 3))}, ["reward", "(rows, 2)"]),
    (ARRAYS | {"cost": np.zeros((3, 2), dtype=complex)}, ["cost", "complex"]),
    (ARRAYS | {"cost": np.zeros((4, 2))}, ["rows"]),
    (ARRAYS | {"eval_name": np.array(["x"])}, ["eval_name", "3 strings"]),
    (ARRAYS | {"query_id": np.array([1, 2, 3.5])}, ["query_id", "strings"]),
    (ARRAYS | {"weights": np.array([1.0])}, ["weights", "(3,)"]),
    (ARRAYS | {"reward": np.array([[None, {}]] * 3)}, ["Python objects"]),
    ({"reward": np.zeros((3, 2)), "cost": np.zeros((3, 2))}, ["'models' is missing"]),
]


@pytest.mark.parametrize(
    ("suffix", "content", "words"),
    [
        *((suffix, *row) for suffix in (".csv", ".parquet") for row in COLUMNS),
        *((".csv", *row) for row in CSV),
        *((".npz", *row) for row in NPZ),
    ],
)
def test_refusals(
    tmp_path: Path, suffix: str, content: bytes | dict[str, Any], words: list[str]
) -> None:
    refuse(write(tmp_path / f"t{suffix}", content), *words)


def test_csv_with_byte_order_mark_blank_lines_and_a_huge_prompt(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    prompt = "x" * 200_000
    path.write_text(f"\ufeffreward:a,cost:a,prompt\r\n\r\n1, 2 ,{prompt}\r\n\r\n", encoding="utf-8")
    assert read_table(path).cost.tolist() == [[2.0]]
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize("suffix", [".parquet", ".npz"])
def test_damaged_binary_files(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t{suffix}", SMALL)
    whole = path.read_bytes()
    damaged = [b"", b"not this format", whole[: len(whole) // 2], whole[:-3]]
    if suffix == ".parquet":  # labels that are not UTF-8
        damaged.append(whole.replace(b"gsm", b"g\xfcm"))
    for content in damaged:
        refuse(write(path, content), "readable")


def test_npz_weights(tmp_path: Path) -> None:
    arrays = ARRAYS | {"reward": np.eye(3)[:, :2], "weights": np.array([3, 1, 4])}
    path = write(tmp_path / "t.npz", arrays)
    assert read_table(path).mean_reward().tolist() == [0.375, 0.125]
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
    ("content", "ids", "weights", "words"),
    [
        (SMALL, ["q0", "q1"], [1, 1], ["1 of 3", "'q2'"]),
        (SMALL, ["q0", "q1", "q2", "q9"], [1, 1, 1, 1], ["not in the table", "'q9'"]),
        (SMALL, ["q0", "q1", "q1"], [1, 1, 1], ["'q1'", "twice"]),
        (SMALL, ["q0", "q1", "q2"], [1, "", 1], ["weights", "nan"]),
        (SMALL | {"query_id": ["q0"] * 3}, ["q0"], [1], ["twice"]),
        (without("query_id"), ["q0"], [1], ["no such column"]),
    ],
)
def test_weight_refusals(
    tmp_path: Path, content: dict[str, Any], ids: list[str], weights: list[Any], words: list[str]
) -> None:
    path = write(tmp_path / "t.csv", content)
    refuse(path, *words, weights=write(tmp_path / "w.csv", {"query_id": ids, "weight": weights}))


def test_weight_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", SMALL)
    refuse(path, "weights file", weights=tmp_path / "w.npz")
    refuse(path, "'weight'", weights=write(tmp_path / "w.csv", {"query_id": ["q0"]}))
    with pytest.raises(DatasetError, match=r"absent\.csv"):
        read_table(path, weights=tmp_path / "absent.csv")


def test_routerbench_sample_has_the_published_means(surrogate: OutcomeTable) -> None:
    assert (surrogate.num_rows, set(surrogate.models)) == (2_224, set(ROUTERBENCH_MODELS))
    means = zip(surrogate.models, surrogate.mean_reward(), surrogate.mean_cost(), strict=True)
    for model, reward, cost in means:
        published = ROUTERBENCH_MODELS[model]
        assert f"{reward:.4f}" == f"{published.reward:.4f}"
        assert f"{cost:.6f}" == f"{published.cost:.6f}"


def test_paretobandit(shared_data: Path) -> None:
    path = shared_data / "data" / "paretobandit_4llm" / "paretobandit_4llm.parquet"
    refuse(path, "google/gemini-2.5-flash in 2638 row(s)", "2638 of 6197")
    dropped = read_table(path, drop_missing=True)
    assert (dropped.num_rows, dropped.num_models) == (3_559, 4)
    three = [name for name in dropped.models if "flash" not in name]
    whole: OutcomeTable = read_table(path, models=three)
    assert (whole.num_rows, whole.num_models) == (6_197, 3)
