"""Suites of models: that they are as the published lists say, and what their tables hold."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from stageroute.datasets.routerbench import ROUTERBENCH_MODELS
from stageroute.errors import DatasetError
from stageroute.workloads import LargePool, StateOfTheArt
from stageroute.workloads.market import (
    FAMILY_SHARES,
    FAMILY_SPREAD,
    FITTED,
    MEAN_TOKENS,
    REFERENCE_RATING,
    draw_suite,
    fit_market,
    quality,
    suite_table,
)
from stageroute.workloads.public_lists import PublicLists, read_public_lists
from stageroute.workloads.sota import dated_arrivals


@pytest.fixture(scope="session")
def lists(shared_data: Path) -> PublicLists:
    return read_public_lists(shared_data / "data" / "model_prices_and_release_dates")


def test_how_many_models_the_lists_price_and_rate(lists: PublicLists) -> None:
    assert (lists.num_listed, lists.num_priced, len(lists.suite.names)) == (227, 52, 48)
    suite = lists.suite
    assert np.all(np.diff(suite.years) >= 0.0)
    at = suite.names.index("claude-3-opus-20240229")
    tokens_in, tokens_out = MEAN_TOKENS
    assert suite.cost[at] == pytest.approx((15 * tokens_in + 75 * tokens_out) / 1e6, rel=1e-12)
    assert suite.rating[at] == 1_247.2
    assert "gemini-exp-1206" not in suite.names


def test_the_market_is_fitted_to_the_lists(lists: PublicLists) -> None:
    fitted = np.hstack(astuple(fit_market(lists.suite)))
    np.testing.assert_allclose(np.hstack(astuple(FITTED)), fitted, rtol=0.01)


def test_generated_models_are_like_the_lists(lists: PublicLists) -> None:
    """Facts that are not parameters: quantiles and correlations."""
    real = lists.suite
    made = [draw_suite(48, seed) for seed in range(200)]

    def check(figure: list[float], published: float) -> None:
        low, high = np.quantile(figure, [0.01, 0.99])
        assert low <= published <= high

    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        check([float(np.quantile(s.cost, share)) for s in made], np.quantile(real.cost, share))
        check([float(np.quantile(s.rating, share)) for s in made], np.quantile(real.rating, share))
    for name in ("rating", "years"):
        check(
            [np.corrcoef(np.log(s.cost), getattr(s, name))[0, 1] for s in made],
            np.corrcoef(np.log(real.cost), getattr(real, name))[0, 1],
        )


def test_published_facts_hold_for_any_number_of_models() -> None:
    suite = draw_suite(10_000, 3)
    market = fit_market(suite)
    assert market.rating_level == pytest.approx(FITTED.rating_level, abs=3.0)
    # One cost in fourteen would lie outside of the lists' range and are brought back into it,
    # which takes something from slopes and spread.
    assert market.cost_level == pytest.approx(FITTED.cost_level, abs=0.1)
    within = {"rating_trend": 0.05, "rating_spread": 0.03, "cost_range": 0.05}
    within |= {"cost_trend": 0.15, "cost_slope": 0.15, "cost_spread": 0.15}
    for name, error in within.items():
        assert getattr(market, name) == pytest.approx(getattr(FITTED, name), rel=error), name


def log_odds(shares: ArrayLike) -> NDArray[np.float64]:
    odds: NDArray[np.float64] = np.divide(shares, np.subtract(1.0, shares))
    return np.log(odds)


def test_the_spread_of_families_is_that_of_routerbench() -> None:
    models = ROUTERBENCH_MODELS.values()
    overall = log_odds([model.reward for model in models])
    for family in ("gsm8k_reward", "mbpp_reward"):
        tilt = log_odds([getattr(model, family) for model in models]) - overall
        assert np.std(tilt, ddof=1) == pytest.approx(FAMILY_SPREAD, abs=0.05)


def test_quality_is_the_chance_of_winning() -> None:
    ratings = np.array([REFERENCE_RATING - 400, REFERENCE_RATING, REFERENCE_RATING + 400])
    np.testing.assert_allclose(quality(ratings), [1 / 11, 1 / 2, 10 / 11], rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("grades", [2, 5])
def test_a_table_has_the_suite_s_means_and_families(grades: int) -> None:
    suite = draw_suite(40, 1)
    table = suite_table(suite, 8_000, grades, 1, "suite")
    assert np.unique(table.reward).tolist() == np.linspace(0, 1, grades).tolist()
    error = 0.5 / np.sqrt(8_000 * (grades - 1))
    assert np.all(np.abs(table.mean_reward() - quality(suite.rating)) < 5 * error)
    np.testing.assert_allclose(table.mean_cost() / suite.cost, 1.0, atol=0.05)
    assert table.task is not None
    shares = {name: (table.task == name).mean() for name in FAMILY_SHARES}
    assert shares == pytest.approx(FAMILY_SHARES, abs=1e-3)
    # It is not one coin per model: within a family models differ otherwise than overall.
    means = np.array([table.reward[table.task == name].mean(axis=0) for name in FAMILY_SHARES])
    tilt = log_odds(means) - log_odds(table.mean_reward())
    assert tilt.std() == pytest.approx(FAMILY_SPREAD, rel=0.25)
    logs = np.log(table.cost)
    assert logs.std(axis=0).mean() == pytest.approx(0.71, rel=0.05)
    assert np.corrcoef(logs[:, 0], logs[:, 1])[0, 1] > 0.85


def test_models_arrive_by_date(lists: PublicLists, shared_data: Path) -> None:
    workload = StateOfTheArt(str(shared_data / "data" / "model_prices_and_release_dates"))
    stream = workload.stream(10_000, 0)
    assert stream.table.models == lists.suite.names
    assert workload.table().models == lists.suite.names
    years, arrivals = lists.suite.years, stream.arrivals
    assert arrivals[9] == 0
    assert arrivals[-1] == 10_000 * 38 // 39
    assert np.corrcoef(arrivals[10:], years[10:])[0, 1] > 0.999999
    assert np.all(np.diff(arrivals)[np.diff(years) == 0.0] == 0)
    assert "48 models (public lists)" in workload.label


def test_arrivals_of_models_of_one_day() -> None:
    same = np.zeros(4)
    assert dated_arrivals(same, 1, 100).tolist() == [0, 0, 0, 0]
    assert dated_arrivals(np.array([0.0, 1.0, 1.0, 3.0]), 2, 100).tolist() == [0, 0, 0, 50]
    assert dated_arrivals(np.array([0.0, 1.0]), 5, 100).tolist() == [0, 0]


def test_a_suite_is_the_same_for_all_streams_and_another_for_another_seed() -> None:
    workload = StateOfTheArt(num_models=12, num_rows=500)
    assert workload.stream(50, 1).table is workload.stream(50, 2).table
    other = StateOfTheArt(num_models=12, num_rows=500, suite=1)
    assert not np.array_equal(workload.table().reward, other.table().reward)
    assert not np.array_equal(workload.models().rating, other.models().rating)


def test_a_large_pool_stays_small() -> None:
    workload = LargePool(10_000)
    assert workload.num_rows == 600
    assert 16 * workload.num_rows * 10_000 <= 100e6
    assert LargePool(100).num_rows == 4_096
    stream = LargePool(500, num_initial=20).stream(10_000, 0)
    assert (stream.arrivals == 0).sum() == 20
    assert stream.arrivals[-1] == 480 * 10_000 // 481
    assert len(stream.candidates(5_000)) == pytest.approx(260, abs=2)


def test_bad_lists(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"lmarena_first_seen\.csv: cannot be read"):
        StateOfTheArt(str(tmp_path)).stream(10, 0)
    (tmp_path / "lmarena_first_seen.csv").write_text("model\nx\n")
    (tmp_path / "arena_catalog_prices.json").write_text("[]")
    (tmp_path / "litellm_model_prices_and_context_window.json").write_text("{}")
    with pytest.raises(DatasetError, match="does not hold the lists as published: KeyError"):
        read_public_lists(tmp_path)
