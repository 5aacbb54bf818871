//! How the LP behind a decision ended, judged by the budget itself.

use crate::lp::{RoutingLp, Status};

/// How the LP behind a decision ended. The LP gets the paced budget, so that an infeasible one may still
/// meet the budget itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecisionStatus {
    /// The mixture is optimal.
    Optimal,
    /// The paced budget could not be met, the budget itself could.
    Throttled,
    /// The budget could not be met.
    BudgetInfeasible,
    /// The caps sum to less than 1.
    CapInfeasible,
}

impl DecisionStatus {
    /// All statuses, by the name each has in the interface; in the order of their numbers.
    pub const NAMES: [(&'static str, Self); 4] = [
        (Status::Optimal.as_str(), Self::Optimal),
        ("throttled", Self::Throttled),
        (Status::BudgetInfeasible.as_str(), Self::BudgetInfeasible),
        (Status::CapInfeasible.as_str(), Self::CapInfeasible),
    ];

    /// The status of an LP that was solved; `budget` is the budget itself, USD per query.
    #[must_use]
    #[inline]
    pub fn of(lp: &RoutingLp, budget: f64) -> Self {
        match lp.status() {
            Status::Optimal => Self::Optimal,
            Status::CapInfeasible => Self::CapInfeasible,
            Status::BudgetInfeasible if lp.spend() <= budget => Self::Throttled,
            Status::BudgetInfeasible => Self::BudgetInfeasible,
        }
    }
}
