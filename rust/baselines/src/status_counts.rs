//! How the LPs of a baseline ended.

use stageroute_core::lp::Status;

/// How often the LP ended in each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusCounts {
    /// Solved.
    pub optimal: u64,
    /// The paced budget could not be met, the budget itself could.
    pub throttled: u64,
    /// The budget could not be met.
    pub budget_infeasible: u64,
    /// The caps sum to less than 1.
    pub cap_infeasible: u64,
}

impl StatusCounts {
    /// Counts a status; one that misses the paced budget may meet the budget itself.
    pub(crate) fn count(&mut self, status: Status, meets_budget: bool) {
        match status {
            Status::Optimal => self.optimal += 1,
            Status::CapInfeasible => self.cap_infeasible += 1,
            Status::BudgetInfeasible if meets_budget => self.throttled += 1,
            Status::BudgetInfeasible => self.budget_infeasible += 1,
        }
    }
}
