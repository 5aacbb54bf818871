//! What each kind of failure means for reward, bill and health.

use serde::{Deserialize, Serialize};

use crate::checks::{REWARD_RULE, check, is_reward};
use crate::error::Error;
use crate::health::Strike;

/// Why a query was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// No answer in time.
    Timeout,
    /// The provider refused for too much traffic.
    RateLimit,
    /// The model declined to answer.
    Refusal,
    /// Anything else.
    Error,
    /// A reason of the owner's own, by its place in [`RouterConfig::other_failures`].
    ///
    /// [`RouterConfig::other_failures`]: super::RouterConfig::other_failures
    Other(u8),
}

impl FailureReason {
    /// The reasons that every router knows, by the name each has in the interface.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("timeout", Self::Timeout),
        ("rate_limit", Self::RateLimit),
        ("refusal", Self::Refusal),
        ("error", Self::Error),
    ];
}

/// What a failed query is billed when its failure does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Charge {
    /// Nothing.
    Nothing,
    /// What it was expected to cost.
    Expected,
    /// That is not known yet: its cost is still to come.
    Open,
}

impl Charge {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Expected, Self::Open];
}

/// What a failure does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FailureEffect {
    /// The reward that is observed, if any.
    pub reward: Option<f64>,
    /// What is billed.
    pub charge: Charge,
    /// What it means for the arm's health.
    #[serde(rename = "health")]
    pub strike: Strike,
}

impl FailureEffect {
    pub(super) fn validate(&self) -> Result<(), Error> {
        let reward = self.reward.unwrap_or(0.0);
        check(is_reward(reward), "reward", reward, REWARD_RULE)
    }
}

/// What failures do, by their reason.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
// Each field is for the [`FailureReason`] of its name.
#[allow(missing_docs)]
pub struct Failures {
    pub timeout: FailureEffect,
    pub rate_limit: FailureEffect,
    pub refusal: FailureEffect,
    pub error: FailureEffect,
}

impl Default for Failures {
    /// Trouble of the provider says nothing of a model's quality; a refusal does, and is no trouble.
    /// Only a query that never ran is known to be free.
    fn default() -> Self {
        let effect = |reward, charge, strike| FailureEffect { reward, charge, strike };
        Self {
            timeout: effect(None, Charge::Expected, Strike::Failure),
            rate_limit: effect(None, Charge::Nothing, Strike::Throttle),
            refusal: effect(Some(0.0), Charge::Open, Strike::None),
            error: effect(None, Charge::Nothing, Strike::Failure),
        }
    }
}

/// A failure with a name of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherFailure {
    /// The name of the reason.
    pub name: String,
    /// What it does.
    pub effect: FailureEffect,
}

impl OtherFailure {
    /// Those that every router has, though earlier versions had not: the caller gave up, or asked for
    /// something that no model would have done. Neither says anything of the model.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let other = |name: &str, charge| Self {
            name: name.into(),
            effect: FailureEffect { reward: None, charge, strike: Strike::None },
        };
        vec![other("cancelled", Charge::Expected), other("bad_request", Charge::Nothing)]
    }
}
