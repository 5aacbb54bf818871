//! What an owner may say of money that must never be exceeded.

use serde::{Deserialize, Serialize};

use crate::checks::check;
use crate::error::Error;
use crate::period::Period;

/// What happens when the reservation of a live arm, which could serve the query otherwise, no longer
/// fits into a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// Routing goes on over the arms that still fit; the cheapest is the last to go.
    Cheapest,
    /// The query is refused, whatever else would fit: money never changes the mixture.
    Refuse,
}

impl AtLimit {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Cheapest, Self::Refuse];
}

/// A hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HardLimit {
    /// The most that decisions made in one window may cost together, USD; finite and above 0.
    pub usd: f64,
    /// The window.
    #[serde(rename = "per")]
    pub period: Period,
    /// What happens when it is reached.
    pub at_limit: AtLimit,
}

impl HardLimit {
    /// Checks the amount.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`].
    pub fn validate(&self) -> Result<(), Error> {
        let rule = "a hard limit must be above 0 and at most 1e9, in USD";
        check(self.usd > 0.0 && self.usd <= 1e9, "usd", self.usd, rule)
    }
}
