//! Queries that were not served: what each kind of failure means for reward, bill and health.

use serde::{Deserialize, Serialize};

use super::Router;
use crate::decisions::OpenDecision;
use crate::error::{BILL_RULE, Error, REWARD_RULE, check, is_bill, is_reward};
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

impl Router {
    /// Counts a failure: its effect on reward, bill and health is that of its reason. A `cost` that
    /// is given is billed, whatever the reason says. Nothing is learnt of the arm's cost.
    ///
    /// # Errors
    /// As [`Router::observe`]; [`Error::AlreadyObserved`] for a decision that has failed before or
    /// has had all its feedback.
    pub fn fail(
        &mut self,
        now: f64,
        id: u64,
        reason: FailureReason,
        cost: Option<f64>,
        retry_after: Option<f64>,
    ) -> Result<(), Error> {
        if let Some(cost) = cost {
            check(is_bill(cost), "cost", cost, BILL_RULE)?;
        }
        if let Some(seconds) = retry_after {
            let rule = "must be finite and not negative, in seconds";
            check(seconds.is_finite() && seconds >= 0.0, "retry_after", seconds, rule)?;
        }
        let now = self.advance_clock(now)?;
        let open = match self.decisions.find(id, now) {
            Ok(open) if open.has_failed || (open.has_reward && open.has_cost) => {
                return Err(self.count_refusal(Error::AlreadyObserved { id, kind: "outcome" }));
            }
            Ok(open) => *open,
            Err(error) => return Err(self.count_refusal(error)),
        };
        let FailureEffect { reward, charge, strike } = self.config.failures[reason as usize];
        let reward = reward.filter(|_| !open.has_reward);
        let bill = match (cost, charge) {
            _ if open.has_cost => None,
            (Some(cost), _) => Some(cost),
            (None, Charge::Nothing) => Some(0.0),
            (None, Charge::Expected) => Some(self.assumed_bill(&open)),
            (None, Charge::Open) => None,
        };
        let marked = self.decisions.find(id, now)?;
        marked.has_failed = true;
        marked.has_reward |= reward.is_some();
        marked.has_cost |= bill.is_some();
        marked.is_released = true;
        self.counters.failures[reason as usize] += 1;
        if let Some(bill) = bill {
            // A failed query may have used nothing: its tokens come back unless it was billed.
            let used = if bill > 0.0 { open.tokens } else { 0.0 };
            self.bill(&open, bill, Some(used), now);
        }
        if reward.is_some() {
            self.counters.rewards += 1;
            self.update(open.arm as usize, reward, None)?;
        }
        if !open.is_released {
            self.arms[open.arm as usize].traffic.release(open.at, now);
        }
        let config = self.config.health;
        let health = &mut self.arms[open.arm as usize].health;
        if health.note_failure(strike, open.at, now, retry_after, &config) {
            self.counters.cooldowns += 1;
            let is_live = self.plan.slot(open.arm as usize).is_some();
            self.has_lost_slot |= is_live && health.has_failed(now, &config);
            self.update_gates();
        }
        Ok(())
    }

    /// What a query is taken to have cost of which that is not known: what was expected, but no more
    /// than hard limits foresaw.
    fn assumed_bill(&self, open: &OpenDecision) -> f64 {
        if self.guard.is_off() {
            return open.expected_cost;
        }
        open.expected_cost.min(open.reservation.to_usd())
    }
}
