//! A router in service, as the classes of this module share it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use pyo3::types::PyString;
use stageroute_core::LogBatch;
use stageroute_live::{Live, Moment};

use crate::clock::Clock;
use crate::errors::poisoned;

/// A router whose decisions name models by Python strings, so that naming one makes none.
pub(crate) type Served = Live<Py<PyString>>;

/// What [`crate::router::Router`] and [`crate::control::Control`] have in common.
pub(crate) struct Shared {
    pub(crate) live: Mutex<Served>,
    clock: Clock,
    readings: Arc<AtomicU64>,
    /// Called by the thread that finds the stage over, before it goes on.
    pub(crate) on_due: PyOnceLock<Py<PyAny>>,
    /// Memory that the log is exchanged with.
    pub(crate) log: Mutex<LogBatch>,
}

impl Shared {
    pub(crate) fn new(router: stageroute_core::Router, clock: Option<Py<PyAny>>) -> Self {
        let live = Live::new(router);
        Self {
            readings: live.readings(),
            live: Mutex::new(live),
            clock: clock.map_or(Clock::System, Clock::Callable),
            on_due: PyOnceLock::new(),
            log: Mutex::new(LogBatch::default()),
        }
    }

    /// The moment of a call that begins. It is asked for before the router is locked.
    #[inline]
    pub(crate) fn moment(&self, py: Python<'_>) -> PyResult<Moment> {
        let taken = self.readings.load(Ordering::Acquire);
        Ok(self.clock.moment(py)?.after(taken))
    }

    /// Locks the router; a thread that has to wait for that does not hold the interpreter.
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Served>> {
        self.live.lock_py_attached(py).map_err(|_| poisoned())
    }

    /// Has it known, once, that the stage is over, and calls what is to be called then. If that
    /// fails, the next call has it known again.
    #[cold]
    pub(crate) fn tell_due(&self, py: Python<'_>) -> PyResult<()> {
        let Some(on_due) = self.on_due.get(py) else { return Ok(()) };
        match on_due.call0(py) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.lock(py)?.tell_again();
                Err(error)
            }
        }
    }
}
