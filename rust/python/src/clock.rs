//! The time as Python gives it: the system's, or that of a callable for simulations.

use pyo3::prelude::*;
use stageroute_live::Moment;

use crate::arguments;

/// A source of Unix time, in seconds.
pub(crate) enum Clock {
    System,
    Callable(Py<PyAny>),
}

impl Clock {
    /// The moment of a call that begins. It is asked for before the router is locked, since a
    /// callable is Python code.
    #[inline]
    pub(crate) fn moment(&self, py: Python<'_>) -> PyResult<Moment> {
        match self {
            Self::System => Ok(Moment::Now),
            Self::Callable(clock) => {
                let now = arguments::number("clock()", &clock.bind(py).call0()?)?;
                Ok(Moment::At(now, None))
            }
        }
    }
}
