//! The decision log: what was decided and on what grounds, kept until it is taken away.
//!
//! Memory is bounded: a decision that finds the log full is dropped from it and counted. Taking the
//! log away exchanges two buffers, so that writing it out never holds the router up.

use crate::arm_index::ArmIndex;
use crate::confidence::Bounds;
use crate::decision::Decision;
use crate::status::DecisionStatus;

/// Live arms that the log makes room for, per decision.
const ARMS_PER_DECISION: usize = 16;

/// One decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedDecision {
    /// The decision itself.
    pub decision: Decision,
    /// When it was made, Unix seconds.
    pub at: f64,
    /// How the LP behind it ended, whether or not that was over the whole live set.
    pub status: DecisionStatus,
    /// The paced budget, USD per query.
    pub paced_budget: f64,
    /// Its first entry in [`LogBatch::arms`]; the entries end where the next decision's begin.
    pub first_arm: usize,
}

/// What one live arm stood at when a decision was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoggedArm {
    /// The arm.
    pub arm: ArmIndex,
    /// With what probability it was drawn.
    pub probability: f64,
    /// Its optimistic estimates.
    pub bounds: Bounds,
}

/// Decisions taken from a log.
#[derive(Debug, Clone, Default)]
pub struct LogBatch {
    /// In the order in which they were made.
    pub decisions: Vec<LoggedDecision>,
    /// The live arms of all of them, one after another.
    pub arms: Vec<LoggedArm>,
    /// How many decisions were left out before this batch was taken, for want of room.
    pub dropped: u64,
}

impl LogBatch {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty() && self.dropped == 0
    }

    /// Forgets all of it, but keeps its memory.
    pub fn clear(&mut self) {
        self.decisions.clear();
        self.arms.clear();
        self.dropped = 0;
    }
}

/// A bounded log.
#[derive(Debug, Clone, Default)]
pub(crate) struct DecisionLog {
    capacity: usize,
    batch: LogBatch,
}

impl DecisionLog {
    /// A log of at most `capacity` decisions; off if that is 0.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut log = Self { capacity, batch: LogBatch::default() };
        log.reserve();
        log
    }

    fn reserve(&mut self) {
        self.batch.decisions.reserve_exact(self.capacity);
        self.batch.arms.reserve_exact(self.capacity * ARMS_PER_DECISION);
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.capacity > 0
    }

    pub(crate) fn push(
        &mut self,
        decision: &Decision,
        status: DecisionStatus,
        at: f64,
        paced_budget: f64,
        arms: impl ExactSizeIterator<Item = LoggedArm>,
    ) {
        let LogBatch { decisions, arms: all, dropped } = &mut self.batch;
        let is_full = decisions.len() == self.capacity
            || all.len() + arms.len() > self.capacity * ARMS_PER_DECISION;
        if is_full {
            *dropped += 1;
            return;
        }
        let (decision, first_arm) = (*decision, all.len());
        decisions.push(LoggedDecision { decision, at, status, paced_budget, first_arm });
        all.extend(arms);
    }

    /// Exchanges what was logged for `batch`, emptied.
    pub(crate) fn drain(&mut self, batch: &mut LogBatch) {
        batch.clear();
        std::mem::swap(&mut self.batch, batch);
        self.reserve();
    }
}
