//! Where the time comes from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// When a call is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// At this time, seconds of Unix time.
    At(f64),
    /// Now, by the system's clock, which is read only where the time matters.
    Now,
}

impl Moment {
    /// The time, where it matters; else 0.
    #[inline]
    pub(crate) fn where_it_matters(self, matters: bool) -> f64 {
        match self {
            Self::At(time) => time,
            Self::Now if matters => system_time(),
            Self::Now => 0.0,
        }
    }

    /// The time, seconds of Unix time.
    #[must_use]
    pub fn time(self) -> f64 {
        self.where_it_matters(true)
    }
}

/// Says when calls are made.
pub trait Clock: Send + Sync {
    /// The moment of a call that begins.
    fn moment(&self) -> Moment;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    #[inline]
    fn moment(&self) -> Moment {
        Moment::Now
    }
}

/// A clock that stands still until it is set: for simulations and tests.
#[derive(Debug, Default)]
pub struct Manual {
    bits: AtomicU64,
}

impl Manual {
    /// A clock that shows `time`, seconds of Unix time.
    #[must_use]
    pub fn at(time: f64) -> Self {
        Self { bits: AtomicU64::new(time.to_bits()) }
    }

    /// Sets it.
    pub fn set(&self, time: f64) {
        self.bits.store(time.to_bits(), Ordering::Release);
    }
}

impl Clock for Manual {
    fn moment(&self) -> Moment {
        Moment::At(f64::from_bits(self.bits.load(Ordering::Acquire)))
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn moment(&self) -> Moment {
        (**self).moment()
    }
}

fn system_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
