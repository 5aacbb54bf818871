//! Forks: what a child process inherits belongs to its parent.
//!
//! The child has the parent's memory and open files, but none of its other threads: a lock that one of
//! them held stays locked for ever there, and a file is written by both. So objects remember in which
//! process they were made, and are looked at before any lock is.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::ForkedRouterError;

/// How many forks lie between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// The process in which something was made.
#[pyclass(frozen, module = "stageroute._core")]
pub(crate) struct Birth(u32);

impl Birth {
    pub(crate) fn now() -> Self {
        Self(FORKS.load(Ordering::Relaxed))
    }

    #[inline]
    fn is_elsewhere(&self) -> bool {
        self.0 != FORKS.load(Ordering::Relaxed)
    }
}

#[pymethods]
impl Birth {
    #[new]
    fn new() -> Self {
        Self::now()
    }

    /// Whether this process is a fork of the one in which it was made.
    #[getter]
    pub(crate) fn is_inherited(&self) -> bool {
        self.is_elsewhere()
    }

    /// Raise `ForkedRouterError` in a fork of the process in which it was made.
    #[inline]
    pub(crate) fn check(&self) -> PyResult<()> {
        if self.is_elsewhere() { Err(inherited()) } else { Ok(()) }
    }
}

#[cold]
fn inherited() -> PyErr {
    ForkedRouterError::new_err(
        "this router belongs to the process that this one was forked from, and goes on there; it \
         cannot be used here: make a router in each process after the fork, each with a journal, a \
         log and a share of the budget of its own",
    )
}

/// Keep an object for as long as the process lives, also while the interpreter ends.
#[pyfunction]
pub(crate) fn keep_for_ever(kept: Bound<'_, PyAny>) {
    std::mem::forget(kept.unbind());
}

/// Called in the child after each fork.
#[pyfunction]
fn note_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Has forks noted from now on, where there are any.
pub(crate) fn note_forks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let os = module.py().import("os")?;
    if let Ok(register) = os.getattr("register_at_fork") {
        let hooks = PyDict::new(module.py());
        hooks.set_item("after_in_child", wrap_pyfunction!(note_fork, module)?)?;
        register.call((), Some(&hooks))?;
    }
    Ok(())
}
