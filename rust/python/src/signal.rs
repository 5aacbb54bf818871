//! What one thread raises and another waits for.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use stageroute_journal as journal;

use crate::errors::invalid;
use crate::forks::Birth;

/// A flag that one thread raises and another waits for, without the interpreter.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Signal {
    signal: Arc<journal::Signal>,
    birth: Birth,
}

impl Signal {
    pub(crate) fn over(signal: Arc<journal::Signal>) -> Self {
        Self { signal, birth: Birth::now() }
    }
}

#[pymethods]
impl Signal {
    #[new]
    fn new() -> Self {
        Self::over(Arc::default())
    }

    /// Wait until it is raised, and lower it; False after that many seconds. Without a number,
    /// wait for ever.
    #[pyo3(signature = (seconds=None))]
    fn wait(&self, py: Python<'_>, seconds: Option<f64>) -> PyResult<bool> {
        self.birth.check()?;
        wait(py, &self.signal, seconds)
    }

    /// End the `wait` that is under way, or else the next one; nobody waits in a fork.
    #[pyo3(name = "raise_")]
    fn raise(&self) {
        if !self.birth.is_inherited() {
            self.signal.raise();
        }
    }
}

pub(crate) fn wait(
    py: Python<'_>,
    signal: &journal::Signal,
    seconds: Option<f64>,
) -> PyResult<bool> {
    let seconds = seconds.unwrap_or(f64::INFINITY);
    if seconds.is_nan() || seconds < 0.0 {
        return Err(invalid(format!("seconds = {seconds}: must be a length of time")));
    }
    // What is too long for a clock is for ever.
    let timeout = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Ok(py.detach(|| signal.wait(timeout)))
}
