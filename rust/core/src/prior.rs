//! What is believed of an arm before it is observed.

use serde::{Deserialize, Serialize};

use crate::arm_index::ArmIndex;
use crate::checks::{BILL_RULE, REWARD_RULE, check, is_bill, is_reward};
use crate::error::Error;
use crate::stats::Moments;
use crate::usage::{Tokens, UsageMoments};

/// Means believed of an arm beforehand, each worth as many observations as stand beside it; nothing
/// by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// Mean reward, in \[0, 1\].
    pub reward: Option<(f64, u64)>,
    /// Mean cost, USD, of an arm without prices.
    pub cost: Option<(f64, u64)>,
    /// Mean usage, of an arm with prices.
    pub tokens: Option<(Tokens, u64)>,
}

/// The heaviest prior: weights are exact up to it.
const HEAVIEST: u64 = 1 << 53;

impl Prior {
    /// Checks everything, for an arm with or without prices.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a mean or a weight; [`Error::WrongPricing`] for a cost in USD of
    /// an arm with prices, or tokens of one without.
    pub fn validate(&self, arm: ArmIndex, has_prices: bool) -> Result<(), Error> {
        if let Some((mean, _)) = self.reward {
            check(is_reward(mean), "reward_prior", mean, REWARD_RULE)?;
        }
        if let Some((mean, _)) = self.cost {
            check(is_bill(mean), "cost_prior", mean, BILL_RULE)?;
        }
        if let Some((mean, _)) = self.tokens {
            mean.validate()?;
        }
        let weights = [
            self.reward.map(|(_, weight)| weight),
            self.cost.map(|(_, weight)| weight),
            self.tokens.map(|(_, weight)| weight),
        ];
        for weight in weights.into_iter().flatten() {
            let rule = "must be at most 2^53, in observations";
            check(weight <= HEAVIEST, "prior_weight", weight as f64, rule)?;
        }
        if has_prices && self.cost.is_some() {
            let rule = "an arm with prices learns its usage: its prior is in tokens, not in USD";
            return Err(Error::WrongPricing { argument: "cost_prior", arm, rule });
        }
        if !has_prices && self.tokens.is_some() {
            let rule = "an arm without prices learns USD: its prior is a cost in USD";
            return Err(Error::WrongPricing { argument: "tokens_prior", arm, rule });
        }
        Ok(())
    }

    pub(crate) fn reward_moments(&self) -> Moments {
        self.reward.map(|(mean, weight)| Moments::prior(mean, weight)).unwrap_or_default()
    }

    /// What is believed of the cost of an arm without prices.
    #[must_use]
    pub fn cost_moments(&self) -> Moments {
        self.cost.map(|(mean, weight)| Moments::prior(mean, weight)).unwrap_or_default()
    }

    pub(crate) fn usage_moments(&self) -> UsageMoments {
        self.tokens.map(|(mean, weight)| UsageMoments::prior(&mean, weight)).unwrap_or_default()
    }
}
