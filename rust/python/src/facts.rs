//! What the core declares once and the Python side builds its types from: names, defaults, tolerances.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pythonize::pythonize;
use serde::Serialize;
use stageroute_core::deployment::LIMIT_TOLERANCE;
use stageroute_core::{
    AtLimit, ChangeTest, Charge, ConfidenceFamily, DecisionStatus, Failures, HealthConfig,
    OtherFailure, Pacing, Period, Reasons, Strike,
};

use crate::errors::invalid;

/// Names as tuples, in the order of their numbers; defaults as dicts; tolerances as numbers.
pub(crate) fn facts(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let facts = PyDict::new(py);
    facts.set_item("families", PyTuple::new(py, ConfidenceFamily::NAMES.map(|(name, _)| name))?)?;
    facts.set_item("statuses", PyTuple::new(py, DecisionStatus::NAMES.map(|(name, _)| name))?)?;
    facts.set_item("limit_tolerance", LIMIT_TOLERANCE)?;
    facts.set_item("reasons", PyTuple::new(py, Reasons::NAMES.map(|(_, name)| name))?)?;
    facts.set_item("periods", names(py, &Period::NAMES.map(|(_, period)| period))?)?;
    facts.set_item("at_limit", names(py, &AtLimit::ALL)?)?;
    facts.set_item("charges", names(py, &Charge::ALL)?)?;
    facts.set_item("strikes", names(py, &Strike::ALL)?)?;
    facts.set_item("failures", plain(py, &Failures::default())?)?;
    facts.set_item("other_failures", plain(py, &OtherFailure::defaults())?)?;
    facts.set_item("health", plain(py, &HealthConfig::default())?)?;
    facts.set_item("change_test", plain(py, &ChangeTest::default())?)?;
    facts.set_item("pacing", plain(py, &Pacing::default())?)?;
    Ok(facts)
}

/// The names under which settings give these values.
fn names<'py, T: Serialize>(py: Python<'py>, values: &[T]) -> PyResult<Bound<'py, PyTuple>> {
    let names: Vec<_> = values.iter().map(|value| plain(py, value)).collect::<PyResult<_>>()?;
    PyTuple::new(py, names)
}

fn plain<'py>(py: Python<'py>, value: &impl Serialize) -> PyResult<Bound<'py, PyAny>> {
    pythonize(py, value).map_err(|error| invalid(error.to_string()))
}
