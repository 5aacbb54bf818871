//! How the LPs of a baseline ended.

use stageroute_core::DecisionStatus;

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
    /// Counts a status.
    pub(crate) fn count(&mut self, status: DecisionStatus) {
        match status {
            DecisionStatus::Optimal => self.optimal += 1,
            DecisionStatus::Throttled => self.throttled += 1,
            DecisionStatus::BudgetInfeasible => self.budget_infeasible += 1,
            DecisionStatus::CapInfeasible => self.cap_infeasible += 1,
        }
    }
}
