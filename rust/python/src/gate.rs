//! The one way into long native work: without the interpreter, but not deaf to its signals.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Time between two looks at the interpreter's signals: short for a person, long for the interpreter,
/// which has to be waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What long work asks now and then: has a signal handler raised something, such as
/// `KeyboardInterrupt`?
pub(crate) struct Interrupts {
    looked: Instant,
    raised: Option<PyErr>,
}

impl Interrupts {
    /// Whether the work is to end, with any error. Only Python's main thread ever hears of signals.
    pub(crate) fn is_raised(&mut self) -> bool {
        if self.raised.is_none() && self.looked.elapsed() >= LOOK_EVERY {
            self.raised = Python::attach(|py| py.check_signals().err());
            self.looked = Instant::now();
        }
        self.raised.is_some()
    }
}

/// Runs `work` without the interpreter. What a signal handler raised meanwhile, once the work has been
/// told, is raised instead of its result.
pub(crate) fn without_interpreter<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&mut Interrupts) -> PyResult<T> + Send,
) -> PyResult<T> {
    py.detach(|| {
        let mut interrupts = Interrupts { looked: Instant::now(), raised: None };
        let result = work(&mut interrupts);
        interrupts.raised.map_or(result, Err)
    })
}
