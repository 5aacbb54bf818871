//! How a tail calls for its committer.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A flag that one thread raises and another waits for.
///
/// It has a lock of its own, so that waiting does not need that of the tail.
#[derive(Debug, Default)]
pub struct Signal {
    raised: Mutex<bool>,
    condition: Condvar,
}

impl Signal {
    /// Ends the wait that is under way, or else the next one.
    #[cold]
    pub fn raise(&self) {
        *self.lock() = true;
        self.condition.notify_one();
    }

    /// Waits until the flag is raised, lowers it and returns true; false after the timeout.
    pub fn wait(&self, timeout: Duration) -> bool {
        let (mut raised, _) = self
            .condition
            .wait_timeout_while(self.lock(), timeout, |raised| !*raised)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *raised)
    }

    /// A bool is never half changed.
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
