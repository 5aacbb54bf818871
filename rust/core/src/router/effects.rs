//! What each kind of failure means for reward, bill and health.

use serde::{Deserialize, Serialize};

use crate::checks::{REWARD_RULE, check, is_reward};
use crate::error::Error;
use crate::health::Strike;

/// Why a query was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// No answer in time.
    Timeout,
    /// The provider refused for too much traffic.
    RateLimit,
    /// The model declined to answer.
    Refusal,
    /// Anything else.
    Error,
}

impl FailureReason {
    /// All reasons, by the name each has in the interface.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("timeout", Self::Timeout),
        ("rate_limit", Self::RateLimit),
        ("refusal", Self::Refusal),
        ("error", Self::Error),
    ];

    /// What each does unless it is set otherwise. Trouble of the provider says nothing of a model's
    /// quality; a refusal does, and is no trouble. Only a query that never ran is known to be free.
    pub const DEFAULT_EFFECTS: [FailureEffect; 4] = [
        FailureEffect { reward: None, charge: Charge::Expected, strike: Strike::Failure },
        FailureEffect { reward: None, charge: Charge::Nothing, strike: Strike::CoolDown },
        FailureEffect { reward: Some(0.0), charge: Charge::Open, strike: Strike::None },
        FailureEffect { reward: None, charge: Charge::Nothing, strike: Strike::Failure },
    ];
}

/// What a failed query is billed when its failure does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Charge {
    /// Nothing.
    Nothing,
    /// What it was expected to cost.
    Expected,
    /// That is not known yet: its cost is still to come.
    Open,
}

/// What a failure does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FailureEffect {
    /// The reward that is observed, if any.
    pub reward: Option<f64>,
    /// What is billed.
    pub charge: Charge,
    /// What it means for the arm's health.
    pub strike: Strike,
}

impl FailureEffect {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let reward = self.reward.unwrap_or(0.0);
        check(is_reward(reward), "reward", reward, REWARD_RULE)
    }
}
