//! The time as Python gives it: the system's, or that of a callable for simulations.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use stageroute_live::Moment;

use crate::arguments;

const PAIR_RULE: &str =
    "must be a time in seconds, or a pair: of the wall clock, of a steady clock";

/// A source of Unix time, in seconds; a callable may have a pair, with the time of a steady clock.
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
                let shown = clock.bind(py).call0()?;
                if !shown.is_instance_of::<PyTuple>() {
                    return Ok(Moment::At(arguments::number("clock()", &shown)?, None));
                }
                let [wall, steady] = arguments::numbers("clock()", &shown, 2, PAIR_RULE)?;
                Ok(Moment::Both { wall, steady })
            }
        }
    }
}
