//! Where the time comes from: the system, or a callable that simulations give.

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;

/// A source of Unix time, in seconds.
pub(crate) enum Clock {
    System,
    Callable(Py<PyAny>),
}

impl Clock {
    /// The time of a callable clock. It is asked before the router is locked, for it is Python code.
    #[inline]
    pub(crate) fn ask(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        match self {
            Self::System => Ok(None),
            Self::Callable(clock) => clock.bind(py).call0()?.extract().map(Some),
        }
    }
}

/// The system's time.
pub(crate) fn system_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
