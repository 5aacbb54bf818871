//! Closed-loop control of the spend.
//!
//! Optimistic costs are too low by design, so an LP that meets the budget on paper overspends. The
//! loop looks at what was really billed and asks the LP for a little less (or allows a little
//! more) than the budget until the two agree.

use crate::error::{Error, check};

/// Money so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Ledger {
    /// Decisions made.
    pub queries: u64,
    /// Sum of the costs observed, USD.
    pub billed: f64,
    /// Expected cost of the decisions whose cost has not been observed, USD.
    pub in_flight: f64,
}

impl Ledger {
    /// What has been or will be spent on the decisions made, USD.
    #[must_use]
    #[inline]
    pub fn committed(&self) -> f64 {
        self.billed + self.in_flight
    }
}

/// A sum that does not drift: Neumaier's compensated summation (1974). A plain sum of 1e9 costs is
/// off by more than a bill.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct CompensatedSum {
    sum: f64,
    lost: f64,
}

impl CompensatedSum {
    /// Adds a number that is not negative; returns the sum.
    #[inline]
    pub(crate) fn add(&mut self, x: f64) -> f64 {
        let sum = self.sum + x;
        self.lost += if self.sum >= x { (self.sum - sum) + x } else { (x - sum) + self.sum };
        self.sum = sum;
        sum + self.lost
    }
}

/// Proportional feedback from the spend to the budget of the next LP.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pacing {
    /// H: a deviation from the budget is to be made good over so many queries.
    pub horizon: f64,
}

impl Pacing {
    /// Checks the horizon.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] unless it is finite and at least 1.
    pub fn validate(&self) -> Result<(), Error> {
        let rule = "must be finite and at least 1, in queries";
        let horizon = self.horizon;
        check(horizon.is_finite() && horizon >= 1.0, "pacing_horizon", horizon, rule)
    }

    /// The budget of the next LP, USD per query: `b − (committed − b t) / H`, in \[0, 2b\].
    #[must_use]
    #[inline]
    pub fn paced_budget(&self, budget: f64, ledger: &Ledger) -> f64 {
        let overspend = ledger.committed() - budget * ledger.queries as f64;
        (budget - overspend / self.horizon).clamp(0.0, 2.0 * budget)
    }
}
