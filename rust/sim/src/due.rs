//! Reports that are under way.

use std::cmp::Ordering;

use stageroute_core::{FailureReason, Observation};

/// Something that is to be reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Report {
    Observe(Observation),
    Fail { id: u64, reason: FailureReason, cost: Option<f64>, retry_after: Option<f64> },
    Release(u64),
    Correct { id: u64, cost: f64 },
}

/// A report and when it comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Due {
    pub(crate) at: f64,
    pub(crate) report: Report,
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest is the largest, as a heap wants it.
impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at)
    }
}
