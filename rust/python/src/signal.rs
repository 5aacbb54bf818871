//! What one thread raises and another waits for.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use stageroute_journal as journal;

use crate::errors::invalid;

/// A flag that one thread raises and another waits for, without the interpreter.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Signal(pub(crate) Arc<journal::Signal>);

#[pymethods]
impl Signal {
    /// Wait until it is raised, and lower it; False after that many seconds. Without a number,
    /// wait for ever.
    #[pyo3(signature = (seconds=None))]
    fn wait(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<bool> {
        wait(py, &self.0, seconds)
    }

    /// End the `wait` that is under way, or else the next one.
    #[pyo3(name = "raise_")]
    fn raise(&self) {
        self.0.raise();
    }
}

pub(crate) fn wait(
    py: Python<'_>,
    signal: &journal::Signal,
    seconds: Option<f64>,
) -> PyResult<bool> {
    let timeout = match seconds {
        None => Duration::MAX,
        Some(seconds) => Duration::try_from_secs_f64(seconds)
            .map_err(|error| invalid(format!("seconds = {seconds}: {error}")))?,
    };
    Ok(py.detach(|| signal.wait(timeout)))
}
