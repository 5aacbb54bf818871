//! What befalls a router beside single queries, kept in its order until its owner takes it away.
//!
//! Nothing is kept unless somebody wants it. It is no part of the state, and repeating a journal tells
//! nothing again.

use crate::arm_index::ArmIndex;

/// Why a query was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Every arm that could have served was at a limit of traffic, …
    Traffic,
    /// … was cooling down, …
    Cooling,
    /// … would have broken a hard limit, …
    HardLimit,
    /// … or was excluded by the query itself.
    Excluded,
}

/// What has happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// An arm cools down, or does so again, for so long.
    CooledDown {
        /// The arm.
        arm: ArmIndex,
        /// For how long, seconds.
        seconds: f64,
    },
    /// Its cool-downs are over: it has answered, or its owner has ended them.
    Recovered {
        /// The arm.
        arm: ArmIndex,
    },
    /// An arm gets no more traffic than its provider was found to let through.
    LearntLimit {
        /// The arm.
        arm: ArmIndex,
        /// Queries per minute.
        per_minute: f64,
    },
    /// Queries were refused.
    Refused {
        /// Why.
        why: Refusal,
        /// How many since this was last told.
        count: u64,
    },
    /// The wall clock has jumped.
    SteppedClock {
        /// By so much, seconds.
        seconds: f64,
    },
    /// An arm has retired.
    Retired {
        /// The arm.
        arm: ArmIndex,
    },
    /// A retired arm has come back.
    Revived {
        /// The arm.
        arm: ArmIndex,
    },
}

/// An event and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noted {
    /// When, by the wall clock, seconds of Unix time; 0 where no time is known.
    pub at: f64,
    /// What.
    pub event: Event,
}

/// Refusals of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Refusals {
    pub(super) untold: u64,
    /// When they were last told.
    pub(super) told: Option<f64>,
}

/// The events that nobody has taken away yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    pub(super) is_on: bool,
    pub(super) noted: Vec<Noted>,
    pub(super) refusals: [Refusals; 4],
}
