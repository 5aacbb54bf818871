//! Where the time comes from.
//!
//! A wall clock jumps: at a resumed virtual machine, at the first word of a time server, by hand. What
//! a router measures (a minute's traffic, a cool-down, the age of a decision) goes by time that passes
//! steadily; what follows the calendar goes by the wall. [`Timeline`] makes the one of the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A wall clock that is further off than this from where it should be has jumped, seconds.
const JUMP: f64 = 1.0;

/// Steady seconds between two looks at the system's wall clock.
const LOOK_EVERY: f64 = 0.05;

/// When a call is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// At this time, seconds of Unix time, read after so many readings were taken, if that is known.
    At(f64, Option<u64>),
    /// At this time on the wall, seconds of Unix time, and on a clock that never jumps, seconds from
    /// any start.
    Both {
        /// What the wall clock shows.
        wall: f64,
        /// What the steady clock shows.
        steady: f64,
    },
    /// Now, by the system's clocks, which are read only where the time matters.
    Now,
}

/// Steady time, made of a clock's readings.
///
/// The system has a clock that never jumps. Where only the wall of a clock of the owner's own is known,
/// what it shows later is taken for time that has passed, what it shows earlier for a jump back in
/// which no time has passed.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Steady time at the last reading; `None` before the first.
    steady: Option<f64>,
    anchor: Option<Instant>,
    /// What the owner's steady clock showed last.
    shown: Option<f64>,
    /// When the system's wall clock was last looked at, in steady time.
    looked: f64,
    /// Readings of a clock of the owner's own.
    taken: Arc<AtomicU64>,
}

/// What a reading says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Steady time.
    pub now: f64,
    /// What the wall clock shows more than that, if it has jumped.
    pub jump: Option<f64>,
}

impl Timeline {
    /// Goes on from a router's own time, which is 0 if it has seen none.
    #[must_use]
    pub fn from(steady: f64) -> Self {
        Self { steady: (steady > 0.0).then_some(steady), ..Self::default() }
    }

    /// Goes on from another time of the router.
    pub fn restart(&mut self, steady: f64) {
        *self = Self { taken: self.counter(), ..Self::from(steady) };
    }

    /// Takes a reading; `offset` is what the wall clock showed more than steady time so far. One that
    /// was begun before the last one was taken may show an earlier time for that: no jump.
    #[inline]
    pub fn read(&mut self, moment: Moment, offset: f64) -> Reading {
        match moment {
            Moment::At(wall, after) => {
                let is_in_order = after.is_none_or(|after| after == self.taken());
                self.taken.fetch_add(1, Ordering::Release);
                let Reading { now, jump } = self.see_wall(wall, offset);
                Reading { now, jump: jump.filter(|_| is_in_order) }
            }
            Moment::Both { wall, steady } => self.see_both(wall, steady, offset),
            Moment::Now => self.see_system(offset),
        }
    }

    fn see_both(&mut self, wall: f64, steady: f64, offset: f64) -> Reading {
        if !(wall.is_finite() && steady.is_finite()) {
            // No time at all, which the router refuses.
            return Reading { now: f64::NAN, jump: None };
        }
        let (Some(shown), Some(before)) = (self.shown.replace(steady), self.steady) else {
            return self.see_wall(wall, offset);
        };
        let now = before + (steady - shown).max(0.0);
        self.steady = Some(now);
        Reading { now, jump: jump(wall, now, offset) }
    }

    /// How many readings were taken, for those who read a clock without the router's lock.
    #[must_use]
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    fn see_system(&mut self, offset: f64) -> Reading {
        let instant = Instant::now();
        let (Some(anchor), Some(before)) = (self.anchor.replace(instant), self.steady) else {
            let reading = self.see_wall(system_time(), offset);
            self.looked = reading.now;
            return reading;
        };
        let now = before + instant.saturating_duration_since(anchor).as_secs_f64();
        self.steady = Some(now);
        if now - self.looked < LOOK_EVERY {
            return Reading { now, jump: None };
        }
        self.looked = now;
        Reading { now, jump: jump(system_time(), now, offset) }
    }

    /// Without a steady clock: time passes as the wall says, but never back.
    fn see_wall(&mut self, wall: f64, offset: f64) -> Reading {
        let Some(before) = self.steady.filter(|_| wall.abs() <= f64::MAX) else {
            // The first reading; or no time at all, which the router refuses.
            self.steady = self.steady.or(Some(wall).filter(|wall| *wall > 0.0));
            return Reading { now: wall, jump: None };
        };
        let now = before + (wall - (before + offset)).max(0.0);
        self.steady = Some(now);
        Reading { now, jump: jump(wall, now, offset) }
    }
}

/// What the wall clock shows more than `now`, if that is not what it was.
fn jump(wall: f64, now: f64, offset: f64) -> Option<f64> {
    let found = wall - now;
    ((found - offset).abs() > JUMP).then_some(found)
}

impl Moment {
    /// The same, read after so many readings were taken.
    #[must_use]
    pub fn after(self, taken: u64) -> Self {
        match self {
            Self::At(time, _) => Self::At(time, Some(taken)),
            Self::Both { .. } | Self::Now => self,
        }
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
        Moment::At(f64::from_bits(self.bits.load(Ordering::Acquire)), None)
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
