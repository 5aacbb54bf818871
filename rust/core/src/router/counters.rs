//! What was done so far, in numbers.

use serde::{Deserialize, Serialize};

use super::effects::FailureReason;

/// What the router has done so far. The first five sum to the decisions made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Decisions from an optimal LP over the whole live set.
    pub optimal: u64,
    /// Decisions for which the paced budget could not be met although the budget itself could:
    /// the cheapest mixture serves until earlier overspend is made good.
    pub throttled: u64,
    /// Decisions for which no mixture meets the budget, even on optimistic costs.
    pub budget_infeasible: u64,
    /// Decisions for which the live caps sum to less than 1.
    pub cap_infeasible: u64,
    /// Decisions over a part of the live set, whatever kept the others out.
    pub restricted: u64,
    /// Queries refused because every arm that could have served was at a traffic limit, …
    pub refused_traffic: u64,
    /// … was cooling down, …
    pub refused_cooling: u64,
    /// … would have broken a hard limit, …
    pub refused_hard_limit: u64,
    /// … or was excluded by the query itself.
    pub refused_excluded: u64,
    /// Rewards counted.
    pub rewards: u64,
    /// Costs counted.
    pub costs: u64,
    /// Costs of priced arms that came without tokens: billed, but nothing was learnt from them.
    pub costs_without_tokens: u64,
    /// Bills above what was reserved for them, so that hard limits could not foresee them.
    pub above_reservation: u64,
    /// Feedback refused because it had come before, …
    pub repeated: u64,
    /// … because the decision was never made, …
    pub unknown: u64,
    /// … or because it had been evicted.
    pub expired: u64,
    /// Decisions evicted before their cost was known.
    pub evicted: u64,
    /// Failures, in the order of [`FailureReason::NAMES`].
    pub failures: [u64; FailureReason::NAMES.len()],
    /// Cool-downs started.
    pub cooldowns: u64,
}

impl Counters {
    /// The largest of all counts.
    pub(super) fn largest(&self) -> u64 {
        // Named one by one, so that none is forgotten.
        let Self {
            optimal,
            throttled,
            budget_infeasible,
            cap_infeasible,
            restricted,
            refused_traffic,
            refused_cooling,
            refused_hard_limit,
            refused_excluded,
            rewards,
            costs,
            costs_without_tokens,
            above_reservation,
            repeated,
            unknown,
            expired,
            evicted,
            failures,
            cooldowns,
        } = *self;
        let counts = [
            optimal,
            throttled,
            budget_infeasible,
            cap_infeasible,
            restricted,
            refused_traffic,
            refused_cooling,
            refused_hard_limit,
            refused_excluded,
            rewards,
            costs,
            costs_without_tokens,
            above_reservation,
            repeated,
            unknown,
            expired,
            evicted,
            cooldowns,
        ];
        counts.into_iter().chain(failures).fold(0, u64::max)
    }
}
