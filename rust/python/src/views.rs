//! What a router says of itself, as arrays and flat dicts.

use numpy::{PyArray1, ToPyArray};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use stageroute_core::{ArmIndex, Bounds, Router};

/// (`reward_ucb`, `cost_lcb`)
pub(crate) type BoundColumns<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<f64>>);

pub(crate) fn bounds<'py>(py: Python<'py>, bounds: &[Bounds]) -> BoundColumns<'py> {
    let column =
        |get: fn(&Bounds) -> f64| bounds.iter().map(get).collect::<Vec<f64>>().to_pyarray(py);
    (column(|b| b.reward_ucb), column(|b| b.cost_lcb))
}

/// What the next deployment is decided from.
pub(crate) fn planning<'py>(
    py: Python<'py>,
    router: &Router,
    now: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let arms: Vec<ArmIndex> = router.candidates(now).collect();
    let mut next = Vec::new();
    router.next_bounds(&mut next);
    let column = |get: &dyn Fn(ArmIndex) -> f64| {
        arms.iter().map(|&arm| get(arm)).collect::<Vec<f64>>().to_pyarray(py)
    };
    let dict = PyDict::new(py);
    let numbers: Vec<usize> = arms.iter().map(|arm| arm.index()).collect();
    dict.set_item("arms", numbers.to_pyarray(py))?;
    dict.set_item("reward_ucb", column(&|arm| next[arm].reward_ucb))?;
    dict.set_item("cost_lcb", column(&|arm| next[arm].cost_lcb))?;
    dict.set_item("share", column(&|arm| router.planned_share(arm)))?;
    Ok(dict)
}

/// Everything known of an arm.
pub(crate) fn arm<'py>(
    py: Python<'py>,
    router: &Router,
    arm: ArmIndex,
    now: f64,
) -> PyResult<Bound<'py, PyDict>> {
    let (learner, state) = (router.learner(), router.arm(arm));
    let (stats, bounds) = (&learner.stats()[arm], learner.bounds()[arm]);
    let now = now.max(router.clock());
    let health = &state.health;
    let words = match () {
        () if health.is_paused(now) => "paused",
        () if health.is_closed() => "healthy",
        () if health.has_failed(now, router.health_config()) => "failed",
        () if health.is_cooling(now) => "cooling",
        () => "probing",
    };
    let dict = PyDict::new(py);
    dict.set_item("is_retired", state.is_retired)?;
    dict.set_item("reward_count", stats.reward.count())?;
    dict.set_item("cost_count", stats.cost.count())?;
    dict.set_item("reward_mean", stats.reward.mean())?;
    dict.set_item("cost_mean", stats.cost.mean())?;
    dict.set_item("reward_variance", stats.reward.variance())?;
    dict.set_item("cost_variance", stats.cost.variance())?;
    dict.set_item("reward_ucb", bounds.reward_ucb)?;
    dict.set_item("cost_lcb", bounds.cost_lcb)?;
    dict.set_item("throughput_share", state.share)?;
    dict.set_item("under_way", state.under_way)?;
    dict.set_item("health", words)?;
    dict.set_item("answer_chance", state.answer_chance)?;
    dict.set_item("changes", learner.changes(arm))?;
    let tokens = learner.expected_tokens(arm);
    dict.set_item("expected_tokens", tokens.map(|t| (t.input, t.output, t.cached)))?;
    Ok(dict)
}

/// What was done and spent so far.
pub(crate) fn counters<'py>(py: Python<'py>, router: &Router) -> PyResult<Bound<'py, PyDict>> {
    let (counters, ledger) = (router.counters(), router.ledger());
    let dict = PyDict::new(py);
    dict.set_item("queries", ledger.queries)?;
    for (name, count) in counters.named() {
        dict.set_item(name, count)?;
    }
    let failures = PyDict::new(py);
    for (name, count) in router.failures_by_reason() {
        failures.set_item(name, count)?;
    }
    dict.set_item("failures", failures)?;
    dict.set_item("billed", ledger.billed)?;
    dict.set_item("in_flight", ledger.in_flight)?;
    dict.set_item("written_off", ledger.written_off)?;
    dict.set_item("paced_budget", router.paced_budget())?;
    dict.set_item("arrival_rate", router.arrival_rate())?;
    Ok(dict)
}
