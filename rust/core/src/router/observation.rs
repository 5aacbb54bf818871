//! Feedback for decisions, and what became of a batch of it.

use serde::{Deserialize, Serialize};

use crate::checks::{BILL_RULE, REWARD_RULE, check, is_bill, is_reward};
use crate::error::Error;
use crate::usage::Tokens;

/// Feedback for one decision. Reward and cost may come together or apart, in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The decision.
    pub id: u64,
    /// Reward in \[0, 1\], if known.
    pub reward: Option<f64>,
    /// What it was billed, USD, if known. An arm with prices is billed by its tokens without it.
    pub cost: Option<f64>,
    /// The tokens it used, if known; part of its cost.
    pub tokens: Option<Tokens>,
}

impl Observation {
    pub(super) fn has_cost(&self) -> bool {
        self.cost.is_some() || self.tokens.is_some()
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        if let Some(reward) = self.reward {
            check(is_reward(reward), "reward", reward, REWARD_RULE)?;
        }
        if let Some(cost) = self.cost {
            check(is_bill(cost), "cost", cost, BILL_RULE)?;
        }
        self.tokens.map_or(Ok(()), |tokens| tokens.validate())
    }
}

/// What became of the observations of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Batch {
    /// Counted.
    pub counted: u64,
    /// Refused: they had come before, …
    pub repeated: u64,
    /// … their decision was never made, …
    pub unknown: u64,
    /// … or it had been evicted.
    pub expired: u64,
}
