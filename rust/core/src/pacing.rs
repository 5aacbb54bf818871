//! Closed-loop control of the spend.
//!
//! Optimistic costs are too low by design, so an LP that meets the budget on paper overspends. The
//! loop looks at what was really billed and asks the LP for a little less (or allows a little
//! more) than the budget until the two agree.

use serde::{Deserialize, Serialize};

use crate::checks::{BILL_RULE, check, is_bill, is_cost};
use crate::error::Error;

/// Money so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// Decisions made.
    pub queries: u64,
    /// Sum of the costs observed, and what is paid off of the cost of starting arms, USD.
    pub billed: f64,
    /// Expected cost of the open decisions whose cost has not been observed, USD.
    pub in_flight: f64,
    /// Expected cost of the decisions that were evicted before their cost was observed, USD. It
    /// counts as spent: an unbilled decision still counts at its expected cost.
    pub written_off: f64,
    /// What the budgets of all queries so far come to beyond the present budget for each, USD.
    #[serde(skip)]
    pub granted: f64,
}

impl Ledger {
    /// What has been or will be spent on the decisions made, USD.
    #[must_use]
    #[inline]
    pub fn committed(&self) -> f64 {
        self.billed + self.in_flight + self.written_off
    }

    /// A decision that was expected to cost so much is in flight no longer. Rounding leaves no less
    /// than nothing.
    #[inline]
    pub(crate) fn land(&mut self, expected: f64) {
        self.in_flight = (self.in_flight - expected).max(0.0);
    }
}

/// What starting the arms of a set costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StartCost {
    /// All together, USD.
    pub usd: f64,
    /// Over how many queries it is spread, at least 1.
    pub queries: f64,
}

impl StartCost {
    /// Starting is free.
    pub const NONE: Self = Self { usd: 0.0, queries: 1.0 };

    /// Checks both numbers.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the number and its rule.
    pub fn validate(&self) -> Result<(), Error> {
        check(is_bill(self.usd), "start_cost", self.usd, BILL_RULE)?;
        let rule = "must be finite and at least 1";
        let queries = self.queries;
        check(queries.is_finite() && queries >= 1.0, "stage_queries", queries, rule)
    }
}

/// What starting arms has cost, paid off in equal parts with the queries of the stage: billed at
/// once it would starve the queries that follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StartCosts {
    /// Not yet paid, USD.
    pub(crate) owed: f64,
    per_query: f64,
}

impl StartCosts {
    /// Adds a cost; all that is owed is paid off within its queries.
    pub(crate) fn owe(&mut self, start: StartCost) {
        self.owed += start.usd;
        self.per_query = self.owed / start.queries;
        debug_assert!((0.0..=self.owed).contains(&self.per_query), "{self:?} after {start:?}");
    }

    pub(crate) fn is_sound(&self) -> bool {
        is_cost(self.owed) && is_cost(self.per_query)
    }

    /// The part of the next query, USD.
    pub(crate) fn pay(&mut self) -> f64 {
        let part = self.per_query.min(self.owed);
        self.owed -= part;
        debug_assert!(part >= 0.0 && self.owed >= 0.0, "no more is paid than is owed: {self:?}");
        part
    }
}

/// A sum that does not drift: Neumaier's compensated summation (1974). A plain sum of 1e9 costs is
/// off by more than a bill.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CompensatedSum {
    sum: f64,
    lost: f64,
}

impl CompensatedSum {
    pub(crate) fn is_sound(&self) -> bool {
        is_cost(self.sum) && self.lost.is_finite()
    }

    /// Puts `new` in the place of `old`, which was added before; returns the sum.
    pub(crate) fn replace(&mut self, old: f64, new: f64) -> f64 {
        if new >= old {
            return self.add(new - old);
        }
        let less = (old - new).min(self.sum + self.lost);
        let sum = (self.sum - less).max(0.0);
        self.lost += (self.sum - sum) - less;
        self.sum = sum;
        (sum + self.lost).max(0.0)
    }

    /// Adds a number that is not negative; returns the sum.
    #[inline]
    pub fn add(&mut self, x: f64) -> f64 {
        let sum = self.sum + x;
        self.lost += if self.sum >= x { (self.sum - sum) + x } else { (x - sum) + self.sum };
        self.sum = sum;
        debug_assert!(sum.is_finite() && self.lost.is_finite(), "{self:?} after {x}");
        sum + self.lost
    }
}

/// Proportional feedback from the spend to the budget of the next LP.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pacing {
    /// H: over- or underspend is corrected over this many queries.
    pub horizon: f64,
    /// Unspent budget is given back to an LP up to this many times the budget, at least 1.
    pub burst: f64,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { horizon: 500.0, burst: 2.0 }
    }
}

impl Pacing {
    /// Checks both fields.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the field and its rule.
    pub fn validate(&self) -> Result<(), Error> {
        let (horizon, burst) = (self.horizon, self.burst);
        let rule = "must be finite and at least 1, in queries";
        check(horizon.is_finite() && horizon >= 1.0, "pacing_horizon", horizon, rule)?;
        let rule = "must be finite and at least 1, in multiples of the budget";
        check(burst.is_finite() && burst >= 1.0, "pacing_burst", burst, rule)
    }

    /// The budget of the next LP, USD per query: `b − (committed − b t) / H`, in \[0, burst · b\], where
    /// `b t` stands for the budgets of the queries so far.
    #[must_use]
    #[inline]
    pub fn paced_budget(&self, budget: f64, ledger: &Ledger) -> f64 {
        let overspend = ledger.committed() - ledger.granted - budget * ledger.queries as f64;
        // An LP is given a finite budget, also where the product is none.
        let most = (self.burst * budget).min(f64::MAX);
        (budget - overspend / self.horizon).clamp(0.0, most)
    }
}
