//! The decision log: as columns, and from columns to JSON lines.

use std::io::Write as _;

use numpy::{Element, IntoPyArray, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::Serialize;
use stageroute_core::{DecisionStatus, LogBatch, Reasons};

use crate::convert::elements;
use crate::decision::reason_names;
use crate::errors::invalid;

/// One array for each field: decisions first, then their live arms, which start at `first_arm`.
/// The copying is done without the interpreter.
pub(crate) fn columns<'py>(py: Python<'py>, batch: &LogBatch) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("dropped", batch.dropped)?;
    let decisions = Rows { dict: &dict, rows: &batch.decisions };
    decisions.set("id", |d| d.decision.id)?;
    decisions.set("time", |d| d.at)?;
    decisions.set("arm", |d| d.decision.arm.index())?;
    decisions.set("probability", |d| d.decision.probability)?;
    decisions.set("stage", |d| d.decision.stage)?;
    decisions.set("budget_price", |d| d.decision.budget_price)?;
    decisions.set("paced_budget", |d| d.paced_budget)?;
    decisions.set("reasons", |d| d.decision.reasons.bits())?;
    decisions.set("status", |d| d.status as u8)?;
    decisions.set("first_arm", |d| d.first_arm)?;
    let arms = Rows { dict: &dict, rows: &batch.arms };
    arms.set("live_arm", |a| a.arm.0)?;
    arms.set("live_probability", |a| a.probability)?;
    arms.set("live_reward_ucb", |a| a.bounds.reward_ucb)?;
    arms.set("live_cost_lcb", |a| a.bounds.cost_lcb)?;
    Ok(dict)
}

/// Rows that become columns of a dict.
struct Rows<'a, 'py, T> {
    dict: &'a Bound<'py, PyDict>,
    rows: &'a [T],
}

impl<T: Sync> Rows<'_, '_, T> {
    fn set<U: Element + Send>(&self, name: &str, get: impl Fn(&T) -> U + Send) -> PyResult<()> {
        let (py, rows) = (self.dict.py(), self.rows);
        let column: Vec<U> = py.detach(|| rows.iter().map(get).collect());
        self.dict.set_item(name, column.into_pyarray(py))
    }
}

/// One line of JSON. A number that is not finite is null.
#[derive(Serialize)]
struct Row<'a> {
    id: u64,
    time: f64,
    stage: u64,
    model: &'a str,
    probability: f64,
    status: &'a str,
    reasons: Vec<&'static str>,
    budget_price: f64,
    paced_budget: f64,
    models: Vec<&'a str>,
    probabilities: &'a [f64],
    reward_ucb: &'a [f64],
    cost_lcb: &'a [f64],
    is_repeated: bool,
}

/// Write decisions as lines of JSON, without holding the interpreter.
///
/// Parameters
/// ----------
/// columns : dict of ndarray
///     What the decision log gave.
/// names : list of str
///     The name of each arm.
/// is_repeated : bool
///     Whether they are logged again.
///
/// Returns
/// -------
/// bytes
#[pyfunction]
// PyO3 passes extracted arguments by value.
#[allow(clippy::needless_pass_by_value)]
pub(crate) fn decisions_to_json<'py>(
    py: Python<'py>,
    columns: &Bound<'py, PyDict>,
    names: Vec<String>,
    is_repeated: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let floats = |name: &str| column::<f64>(columns, name);
    let counts = |name: &str| column::<u64>(columns, name);
    let indices = |name: &str| column::<usize>(columns, name);
    let bits = |name: &str| column::<u8>(columns, name);
    let (ids, stages) = (counts("id")?, counts("stage")?);
    let (ids, stages) = (elements(&ids), elements(&stages));
    let (arms, first, live) =
        (indices("arm")?, indices("first_arm")?, column(columns, "live_arm")?);
    let (arms, first, live) = (elements(&arms), elements(&first), elements(&live));
    let (times, probability) = (floats("time")?, floats("probability")?);
    let (times, probability) = (elements(&times), elements(&probability));
    let (price, paced) = (floats("budget_price")?, floats("paced_budget")?);
    let (price, paced) = (elements(&price), elements(&paced));
    let (reasons, status) = (bits("reasons")?, bits("status")?);
    let (reasons, status) = (elements(&reasons), elements(&status));
    let share = floats("live_probability")?;
    let (reward_ucb, cost_lcb) = (floats("live_reward_ucb")?, floats("live_cost_lcb")?);
    let (share, reward_ucb, cost_lcb) =
        (elements(&share), elements(&reward_ucb), elements(&cost_lcb));
    let name = |arm: usize| names.get(arm).map_or("?", String::as_str);
    let row = |k: usize| {
        let place = first[k]..first.get(k + 1).copied().unwrap_or(live.len());
        Row {
            id: ids[k],
            time: times[k],
            stage: stages[k],
            model: name(arms[k]),
            probability: probability[k],
            status: DecisionStatus::NAMES[usize::from(status[k])].0,
            reasons: reason_names(Reasons::from_bits(reasons[k])),
            budget_price: price[k],
            paced_budget: paced[k],
            models: live[place.clone()].iter().map(|&arm: &u32| name(arm as usize)).collect(),
            probabilities: &share[place.clone()],
            reward_ucb: &reward_ucb[place.clone()],
            cost_lcb: &cost_lcb[place],
            is_repeated,
        }
    };
    let written: Result<Vec<u8>, serde_json::Error> = py.detach(|| {
        let mut lines = Vec::new();
        for k in 0..ids.len() {
            serde_json::to_writer(&mut lines, &row(k))?;
            lines.write_all(b"\n").map_err(serde_json::Error::io)?;
        }
        Ok(lines)
    });
    let lines = written.map_err(|error| invalid(error.to_string()))?;
    Ok(PyBytes::new(py, &lines))
}

fn column<'py, T: Element>(
    columns: &Bound<'py, PyDict>,
    name: &str,
) -> PyResult<PyReadonlyArray1<'py, T>> {
    let Some(column) = columns.get_item(name)? else {
        return Err(invalid(format!("columns lack {name}")));
    };
    column.extract()
}
