//! The decision log as columns.

use numpy::{Element, ToPyArray};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use stageroute_core::{LogBatch, LoggedArm, LoggedDecision};

/// One array for each field: decisions first, then their live arms, which start at `first_arm`.
pub(crate) fn columns<'py>(py: Python<'py>, batch: &LogBatch) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let decisions = &batch.decisions;
    dict.set_item("dropped", batch.dropped)?;
    set(&dict, "id", decisions, |d| d.decision.id)?;
    set(&dict, "time", decisions, |d| d.at)?;
    set(&dict, "arm", decisions, |d| d.decision.arm)?;
    set(&dict, "probability", decisions, |d| d.decision.probability)?;
    set(&dict, "stage", decisions, |d| d.decision.stage)?;
    set(&dict, "budget_price", decisions, |d| d.decision.budget_price)?;
    set(&dict, "paced_budget", decisions, |d| d.paced_budget)?;
    set(&dict, "reasons", decisions, |d| d.decision.reasons.bits())?;
    set(&dict, "first_arm", decisions, |d| d.first_arm)?;
    let statuses: Vec<&str> = decisions.iter().map(LoggedDecision::status_name).collect();
    dict.set_item("status", statuses)?;
    let arms = &batch.arms;
    set(&dict, "live_arm", arms, |a: &LoggedArm| a.arm)?;
    set(&dict, "live_probability", arms, |a| a.probability)?;
    set(&dict, "live_reward_ucb", arms, |a| a.bounds.reward_ucb)?;
    set(&dict, "live_cost_lcb", arms, |a| a.bounds.cost_lcb)?;
    Ok(dict)
}

fn set<T, U: Element>(
    dict: &Bound<'_, PyDict>,
    name: &str,
    rows: &[T],
    get: impl Fn(&T) -> U,
) -> PyResult<()> {
    let column: Vec<U> = rows.iter().map(get).collect();
    dict.set_item(name, column.to_pyarray(dict.py()))
}
