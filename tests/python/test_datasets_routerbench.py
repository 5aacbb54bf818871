"""RouterBench: the built-in set made from published figures, and the published pickle."""

import csv
import hashlib
import math
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from other_solver import joint_value
from stageroute.datasets import (
    RELEASE_DATES,
    RELEASE_ORDER,
    ROUTERBENCH_MODELS,
    OutcomeTable,
    formats,
    read_table,
    routerbench_synthetic,
)
from stageroute.datasets import table_from_routerbench_frame as from_frame
from stageroute.datasets.routerbench import FAMILIES, TOTAL_QUERIES
from stageroute.errors import DatasetError, MissingExtraError
from stageroute.policies.oracles.context import context_means

Floats = NDArray[np.float64]
PUBLISHED_REWARD = np.array([model.reward for model in ROUTERBENCH_MODELS.values()])
PUBLISHED_COST = np.array([model.cost for model in ROUTERBENCH_MODELS.values()])


@pytest.fixture(scope="module")
def table() -> OutcomeTable:
    return routerbench_synthetic()


def test_shape_and_names(table: OutcomeTable) -> None:
    assert (table.num_rows, table.num_models) == (36_497, 11)
    assert table.name == "built-in RouterBench-calibrated set"
    assert table.models == tuple(ROUTERBENCH_MODELS)
    assert set(RELEASE_ORDER) == set(ROUTERBENCH_MODELS)
    assert sorted(RELEASE_ORDER, key=lambda model: RELEASE_DATES[model]) == list(RELEASE_ORDER)
    assert table.weights is None
    assert np.unique(np.asarray(table.query_id)).size == 36_497


@pytest.mark.parametrize(("num_queries", "seed"), [(36_497, 0), (5_000, 1), (5_000, 2)])
def test_means_are_the_published_ones(num_queries: int, seed: int) -> None:
    t = routerbench_synthetic(num_queries, seed)
    assert np.abs(t.mean_reward() - PUBLISHED_REWARD).max() <= 0.005
    assert np.abs(t.mean_cost() / PUBLISHED_COST - 1).max() <= 0.02


def test_published_constants_match_the_published_table(shared_data: Path) -> None:
    path = shared_data / "data" / "routerbench_0shot_11m_sample2224" / "full_matrix_means.csv"
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            model = ROUTERBENCH_MODELS[row[""]]
            published = float(row["full_reward"]), float(row["full_cost"])
            assert (model.reward, model.cost) == published


def test_families(table: OutcomeTable) -> None:
    assert sum(FAMILIES.values()) == TOTAL_QUERIES
    assert table.task is not None
    names, counts = np.unique(table.task, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == FAMILIES
    for family, field in (("grade-school-math", "gsm8k_reward"), ("mbpp", "mbpp_reward")):
        published = [getattr(model, field) for model in ROUTERBENCH_MODELS.values()]
        realised = table.reward[table.task == family].mean(axis=0)
        np.testing.assert_allclose(realised, published, atol=0.005)
    # No two families share a model's mean: a model is not one coin, nor two.
    families = np.array([table.reward[table.task == name].mean(axis=0) for name in FAMILIES])
    for column in families.T:
        assert np.diff(np.sort(column)).min() > 1e-4
        assert column.max() - column.min() > 0.1
    gsm8k = table.task == "grade-school-math"
    assert set(np.unique(table.reward[gsm8k])) == {0.25, 0.5, 0.75}
    assert set(np.unique(table.reward[~gsm8k])) == {0.0, 1.0}
    np.testing.assert_allclose(table.cost[gsm8k].mean(axis=0)[0], 0.00855, rtol=1e-3)


def test_models_agree_on_which_queries_are_hard(table: OutcomeTable) -> None:
    # Published: no model answers 3.6 %, and the per-query best model earns 0.912.
    best = table.reward.max(axis=1)
    assert abs((best == 0).mean() - 0.036) <= 0.002
    assert abs(best.mean() - 0.912) <= 0.005
    rewards = np.corrcoef(table.reward[table.task == "mmlu"].T)
    assert rewards[~np.eye(11, dtype=bool)].min() > 0.1
    costs = np.corrcoef(np.log(table.cost).T)
    assert costs.min() > 0.5


def test_rows_are_in_no_order(table: OutcomeTable) -> None:
    thirds = np.array_split(table.reward, 3)
    for part in thirds:
        assert np.abs(part.mean(axis=0) - table.mean_reward()).max() < 0.02
    centred = table.reward[:, 0] - table.reward[:, 0].mean()
    autocorrelation = (centred[1:] * centred[:-1]).mean() / (centred**2).mean()
    assert abs(autocorrelation) < 4 / math.sqrt(table.num_rows)


def test_routing_value_without_and_with_the_family(table: OutcomeTable) -> None:
    assert table.task is not None
    for labels, published in ((np.full(table.num_rows, "all"), 0.675), (table.task, 0.748)):
        _, weights, reward, cost = context_means(table, labels)
        assert joint_value(weights, reward, cost, 0.001, 1.0, 0.5) == pytest.approx(
            published, abs=0.002
        )


def test_the_seed_fixes_every_bit(table: OutcomeTable) -> None:
    def digest(t: OutcomeTable) -> str:
        little = [t.reward.astype("<f8").tobytes(), t.cost.astype("<f8").tobytes()]
        return hashlib.sha256(b"".join(little)).hexdigest()

    assert digest(routerbench_synthetic(seed=0)) == digest(table)
    assert digest(routerbench_synthetic(seed=1)) != digest(table)
    # The same on every platform: a change of this value changes every published result.
    known = "e8d5a2e03e3009a0f6ab81ca0afc12e7ffdf63eb0a81077587ce700fefd6e4bf"
    assert digest(routerbench_synthetic(1_000)) == known


@pytest.mark.parametrize("num_queries", [1, 2, 3, 11, 100])
def test_small_tables(num_queries: int) -> None:
    assert routerbench_synthetic(num_queries).num_rows == num_queries


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        read_table(path, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "module", "extra"),
    [(".parquet", "pyarrow", "parquet"), (".pkl", "pandas", "pickle")],
)
def test_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, module: str, extra: str
) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"anything")
    published(monkeypatch, b"anything")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"stageroute\[{extra}\]"):
        read_table(path, allow_pickle=True)


def published(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Make `content` pass for the published RouterBench file."""
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(formats, "ROUTERBENCH_PICKLE_BYTES", len(content))
    monkeypatch.setattr(formats, "ROUTERBENCH_PICKLE_SHA256", digest)


def wide_frame() -> Any:
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(
        {
            "sample_id": ["q0", "q1"],
            "prompt": ["['x']", "['y']"],
            "eval_name": ["mbpp", "mmlu-law"],
            "gpt": np.array([1.0, "0.25"], dtype=object),
            "org/b": [0.0, 1.0],
            "gpt|model_response": ["a", "b"],
            "gpt|total_cost": [0.01, 0.02],
            "org/b|total_cost": [0.001, 0.002],
            "oracle_model_to_route_to": ["gpt", "org/b"],
        }
    )


def test_routerbench_frame() -> None:
    t = from_frame(wide_frame())
    assert t.models == ("gpt", "org/b")
    assert t.reward.tolist() == [[1.0, 0.0], [0.25, 1.0]]
    assert t.cost.tolist() == [[0.01, 0.001], [0.02, 0.002]]
    np.testing.assert_array_equal(t.query_id, ["q0", "q1"])
    np.testing.assert_array_equal(t.task, ["mbpp", "mmlu-law"])


def test_routerbench_frame_refusals() -> None:
    frame = wide_frame()
    for bad, words in (
        (frame.drop(columns="gpt"), "'gpt'"),
        (frame.drop(columns=["gpt|total_cost", "org/b|total_cost"]), "no model"),
        (frame.assign(gpt=["x", "y"]), "'gpt'"),
        (frame.rename(columns={"prompt": "gpt"}), "unique"),
    ):
        with pytest.raises(DatasetError, match=words):
            from_frame(bad)


class Bomb:
    """Unpickling this calls `Path.touch`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_pickle_is_refused_without_consent_and_unless_it_is_the_published_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, trace = tmp_path / "routerbench_0shot.pkl", tmp_path / "code-ran"
    content = pickle.dumps(Bomb(trace))
    path.write_bytes(content)
    assert "runs whatever code" in refusal(path)
    assert f"{len(content)} bytes, but RouterBench's routerbench_0shot.pkl has 99567659" in refusal(
        path, allow_pickle=True
    )
    monkeypatch.setattr(formats, "ROUTERBENCH_PICKLE_BYTES", len(content))
    message = refusal(path, allow_pickle=True)
    assert hashlib.sha256(content).hexdigest() in message
    assert "not unpickled" in message
    assert not trace.exists()


def test_pickle_with_the_right_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "routerbench_0shot.pkl"
    path.write_bytes(pickle.dumps(wide_frame()))
    published(monkeypatch, path.read_bytes())
    t = read_table(path, allow_pickle=True, models=["org/b"])
    assert t.name == "routerbench_0shot"
    assert t.models == ("org/b",)
    path.write_bytes(pickle.dumps([1, 2]))
    published(monkeypatch, path.read_bytes())
    assert "list" in refusal(path, allow_pickle=True)
