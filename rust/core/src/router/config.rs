//! Settings of a router.

use serde::{Deserialize, Serialize};

use super::effects::{FailureEffect, FailureReason, Failures, OtherFailure};
use super::scope::ScopeConfig;
use crate::calendar::Calendar;
use crate::checks::{CAP_RULE, check, is_cap};
use crate::confidence::Confidence;
use crate::drift::Drift;
use crate::error::Error;
use crate::hard_limit::HardLimit;
use crate::health::HealthConfig;
use crate::pacing::Pacing;

/// So many failures for other reasons than those of [`FailureReason::NAMES`] can have names.
pub const MOST_OTHER_FAILURES: usize = 12;

/// Settings of a [`super::Router`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouterConfig {
    /// b: average USD per query.
    pub budget: f64,
    /// How estimates become bounds.
    pub confidence: Confidence,
    /// What is forgotten, and what counts as a change.
    pub drift: Drift,
    /// Control of the spend; without it the LP always gets the budget itself, as published.
    pub pacing: Option<Pacing>,
    /// How many recent decisions can take feedback; rounded up to a power of two.
    pub open_decisions: usize,
    /// For how long a decision can take feedback, seconds; for ever without it.
    pub max_age: Option<f64>,
    /// Queries in a stage, at least 1; without it stages end when a new set is published.
    pub stage_queries: Option<u64>,
    /// Whether a live arm that retires or fails makes the stage due at once, so that its slot is
    /// filled again.
    pub redeploys_lost_slots: bool,
    /// The share of the traffic that a newcomer starts with, in (0, 1]; its cap without it.
    pub canary: Option<f64>,
    /// A query of which nothing is heard for so long is no longer taken to be under way, seconds.
    pub lost_after: Option<f64>,
    /// Hard limits on money.
    pub hard_limits: Vec<HardLimit>,
    /// Whose days each of them goes by, in their order; those of UTC where there are fewer.
    #[serde(default)]
    pub calendars: Vec<Calendar>,
    /// What arms share.
    pub scopes: Vec<ScopeConfig>,
    /// What failures do.
    pub failures: Failures,
    /// Failures for other reasons, at most [`MOST_OTHER_FAILURES`].
    pub other_failures: Vec<OtherFailure>,
    /// When arms cool down.
    pub health: HealthConfig,
    /// How many decisions the log holds until it is drained; 0 for no log. No part of a snapshot.
    #[serde(skip)]
    pub log_capacity: usize,
    /// Fixes every random draw.
    pub seed: u64,
}

impl RouterConfig {
    /// The plainest settings: no pacing, no limits, no log, stages by hand.
    #[must_use]
    pub fn new(budget: f64, confidence: Confidence, seed: u64) -> Self {
        Self {
            budget,
            confidence,
            drift: Drift::default(),
            pacing: None,
            open_decisions: 1 << 16,
            max_age: None,
            stage_queries: None,
            redeploys_lost_slots: false,
            canary: None,
            lost_after: None,
            hard_limits: Vec::new(),
            calendars: Vec::new(),
            scopes: Vec::new(),
            failures: Failures::default(),
            other_failures: OtherFailure::defaults(),
            health: HealthConfig::default(),
            log_capacity: 0,
            seed,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        check_budget(self.budget)?;
        if let Some(pacing) = self.pacing {
            pacing.validate()?;
        }
        let rule = "must be in [1, 2^28]: each takes 48 bytes";
        let open = self.open_decisions;
        check((1..=1 << 28).contains(&open), "open_decisions", open as f64, rule)?;
        let rule = "must be finite and above 0, in seconds";
        let age = self.max_age.unwrap_or(1.0);
        check(age.is_finite() && age > 0.0, "max_age", age, rule)?;
        if let Some(0) = self.stage_queries {
            check(false, "stage_queries", 0.0, "must be at least 1")?;
        }
        for scope in &self.scopes {
            scope.validate()?;
        }
        let lost = self.lost_after.unwrap_or(1.0);
        let rule = "must be finite and above 0, in seconds";
        check(lost.is_finite() && lost > 0.0, "lost_after", lost, rule)?;
        let canary = self.canary.unwrap_or(1.0);
        check(is_cap(canary), "canary", canary, CAP_RULE)?;
        check_log_capacity(self.log_capacity)?;
        for (_, reason) in FailureReason::NAMES {
            self.effect_of(reason)?.validate()?;
        }
        let others = &self.other_failures;
        let rule = "at most 12 reasons of one's own";
        check(others.len() <= MOST_OTHER_FAILURES, "failures", others.len() as f64, rule)?;
        for other in others {
            other.effect.validate()?;
        }
        self.health.validate()
    }

    /// The reason of a name.
    #[must_use]
    pub fn reason(&self, name: &str) -> Option<FailureReason> {
        let known = FailureReason::NAMES.iter().find(|(known, _)| *known == name);
        let place = || self.other_failures.iter().position(|other| other.name == name);
        let other = || place().and_then(|place| u8::try_from(place).ok().map(FailureReason::Other));
        known.map(|&(_, reason)| reason).or_else(other)
    }

    /// What a failure for this reason does.
    pub(super) fn effect_of(&self, reason: FailureReason) -> Result<FailureEffect, Error> {
        let Failures { timeout, rate_limit, refusal, error } = self.failures;
        match reason {
            FailureReason::Timeout => Ok(timeout),
            FailureReason::RateLimit => Ok(rate_limit),
            FailureReason::Refusal => Ok(refusal),
            FailureReason::Error => Ok(error),
            FailureReason::Other(place) => {
                let other = self.other_failures.get(usize::from(place));
                let rule = "is no place of a reason of one's own";
                other.map(|other| other.effect).ok_or(Error::InvalidNumber {
                    argument: "reason",
                    value: f64::from(place),
                    rule,
                })
            }
        }
    }
}

pub(super) fn check_log_capacity(capacity: usize) -> Result<(), Error> {
    check(capacity <= 1 << 24, "log_capacity", capacity as f64, "must be at most 2^24")
}

pub(super) fn check_budget(budget: f64) -> Result<(), Error> {
    let rule = "must be finite and not negative, in USD per query";
    check(budget.is_finite() && budget >= 0.0, "budget", budget, rule)
}
