//! A router in service, as the classes of this module share it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::sync::{MutexExt, PyOnceLock};
use stageroute_core::LogBatch;
use stageroute_live::{Error, Live, Moment};

use crate::arguments;
use crate::clock::Clock;
use crate::decision::{Decision, Origin};
use crate::errors::{UnknownDecisionError, poisoned, to_py};
use crate::forks::Birth;
use crate::news::News;
use crate::served::{Facts, Served};

/// How many routers this process has had.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// What [`crate::router::Router`] and [`crate::control::Control`] have in common.
pub(crate) struct Shared {
    live: Mutex<Served>,
    clock: Clock,
    readings: Arc<AtomicU64>,
    /// Called by the thread that finds the stage over, before it goes on.
    pub(crate) on_due: PyOnceLock<Py<PyAny>>,
    /// What was taken of the log and may have to be given again; memory that it is exchanged with.
    pub(crate) log: Mutex<LogBatch>,
    pub(crate) origin: Origin,
    /// How many decisions were made before this object was: those of a router that it goes on from.
    inherited: AtomicU64,
    /// What the owner knows beside the core. It is replaced while the router is locked, so that the two
    /// always fit together.
    facts: Mutex<Option<Facts>>,
    pub(crate) news: News,
    pub(crate) birth: Birth,
}

impl Shared {
    pub(crate) fn new(router: stageroute_core::Router, clock: Option<Py<PyAny>>) -> Self {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let origin = Origin { serial, seed: router.config().seed };
        let inherited = AtomicU64::new(router.ledger().queries);
        let live = Live::new(router);
        Self {
            readings: live.readings(),
            live: Mutex::new(live),
            clock: clock.map_or(Clock::System, Clock::Callable),
            on_due: PyOnceLock::new(),
            log: Mutex::new(LogBatch::default()),
            origin,
            inherited,
            facts: Mutex::new(None),
            news: News::new(),
            birth: Birth::now(),
        }
    }

    /// The number of a decision of this router, given as itself or by that number.
    #[inline]
    pub(crate) fn id_of(&self, decision_or_id: &Bound<'_, PyAny>) -> PyResult<u64> {
        let Ok(decision) = decision_or_id.cast_exact::<Decision>() else {
            return arguments::id("decision_or_id", decision_or_id);
        };
        let Decision { id, origin, .. } = decision.get();
        if origin.serial == self.origin.serial || self.has_inherited(*id, *origin) {
            Ok(*id)
        } else {
            Err(foreign(*id))
        }
    }

    fn has_inherited(&self, id: u64, origin: Origin) -> bool {
        origin.seed == self.origin.seed && id < self.inherited.load(Ordering::Relaxed)
    }

    /// Notes that all decisions so far are those of a router that this one goes on from.
    pub(crate) fn inherit(&self, live: &Served) {
        self.inherited.store(live.router().ledger().queries, Ordering::Relaxed);
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
        self.birth.check()?;
        self.live.lock_py_attached(py).map_err(|_| poisoned())
    }

    /// The same for a thread without the interpreter.
    pub(crate) fn lock_detached(&self) -> PyResult<MutexGuard<'_, Served>> {
        self.birth.check()?;
        self.live.lock().map_err(|_| poisoned())
    }

    /// Tells the collector of what a user gave, which may lead back to the router.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Clock::Callable(clock) = &self.clock {
            visit.call(clock)?;
        }
        Ok(())
    }

    /// The facts. They are locked for an instant only, in which no Python code runs.
    pub(crate) fn facts(&self) -> PyResult<Option<Facts>> {
        self.birth.check()?;
        Ok(self.lock_facts().clone())
    }

    /// Replaces the facts; the old ones are to be dropped when the router is no longer locked, since
    /// that may run Python code.
    pub(crate) fn replace_facts(&self, facts: Facts) -> Option<Facts> {
        self.lock_facts().replace(facts)
    }

    fn lock_facts(&self) -> MutexGuard<'_, Option<Facts>> {
        // A reference is never half changed.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a call: unlocks the router, and has it known if there is news.
    #[inline]
    pub(crate) fn end<T>(
        &self,
        py: Python<'_>,
        live: MutexGuard<'_, Served>,
        answer: Result<T, Error>,
    ) -> PyResult<T> {
        let has_news = live.router().has_events();
        drop(live);
        if has_news {
            self.news.tell(py)?;
        }
        answer.map_err(to_py)
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

#[cold]
fn foreign(id: u64) -> PyErr {
    UnknownDecisionError::new_err(format!(
        "decision_or_id = Decision(id={id}, …): another router made it; report it there"
    ))
}
