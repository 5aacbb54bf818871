//! Health of arms: a circuit breaker for each.
//!
//! Failures in a row, or one rate-limit answer, *cool* an arm: it gets no traffic for a while that
//! doubles with every relapse. After that it is *half open*: one query at a time is let through as
//! a probe; a success closes the breaker, a failure cools the arm again. Feedback for decisions
//! made before the arm was cooled says nothing new and is not counted here. (The pattern: Nygard,
//! *Release It!*, 2007.)

use serde::{Deserialize, Serialize};

use crate::checks::{check, is_time, sound};
use crate::error::Error;

/// When arms cool down, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HealthConfig {
    /// Failures in a row that cool an arm, at least 1.
    pub failures: u32,
    /// Length of the first cool-down, seconds, above 0.
    pub cooldown: f64,
    /// No cool-down is longer, seconds, at least `cooldown`.
    pub max_cooldown: f64,
    /// After this many cool-downs without a success between them an arm counts as failed, at least 1.
    pub failed_after: u32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { failures: 3, cooldown: 5.0, max_cooldown: 300.0, failed_after: 3 }
    }
}

impl HealthConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the field.
    pub fn validate(&self) -> Result<(), Error> {
        let rule = "must be at least 1";
        check(self.failures >= 1, "failures", f64::from(self.failures), rule)?;
        check(self.failed_after >= 1, "failed_after", f64::from(self.failed_after), rule)?;
        let rule = "must be finite and above 0, in seconds";
        check(self.cooldown.is_finite() && self.cooldown > 0.0, "cooldown", self.cooldown, rule)?;
        let rule = "must be finite and at least cooldown, in seconds";
        let longest = self.max_cooldown;
        check(longest.is_finite() && longest >= self.cooldown, "max_cooldown", longest, rule)
    }

    fn cooldown_at(&self, level: u32) -> f64 {
        let doublings = level.saturating_sub(1).min(60);
        (self.cooldown * (1_u64 << doublings) as f64).min(self.max_cooldown)
    }
}

/// What a failure means for the health of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strike {
    /// Nothing: the arm works.
    None,
    /// One more failure in a row.
    Failure,
    /// The arm cools down at once.
    CoolDown,
}

impl Strike {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::None, Self::Failure, Self::CoolDown];
}

/// The breaker of one arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    failures_in_a_row: u32,
    /// Cool-downs since the last success; 0 is a closed breaker.
    level: u32,
    /// Until when it was last cooled, Unix seconds; also when it has closed since.
    cooled_until: f64,
    /// When the probe under way was sent.
    probe_sent: Option<f64>,
}

impl Health {
    /// Whether the breaker is closed, so that nothing needs to be looked at.
    #[must_use]
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.level == 0
    }

    /// Whether a query may be sent now. While half open, one probe at a time; one that is not
    /// answered within a cool-down's time is given up.
    #[must_use]
    #[inline]
    pub fn admits(&self, now: f64, config: &HealthConfig) -> bool {
        self.is_closed()
            || (now >= self.cooled_until
                && self.probe_sent.is_none_or(|sent| now >= sent + config.cooldown_at(self.level)))
    }

    /// Whether the arm is cooling down.
    #[must_use]
    pub fn is_cooling(&self, now: f64) -> bool {
        self.level > 0 && now < self.cooled_until
    }

    /// Whether the arm is cooling down after as many relapses as make it count as failed, so that its
    /// slot should be given up.
    #[must_use]
    pub fn has_failed(&self, now: f64, config: &HealthConfig) -> bool {
        self.level >= config.failed_after && self.is_cooling(now)
    }

    /// When a query may next be sent, Unix seconds.
    #[must_use]
    pub fn reopens(&self, config: &HealthConfig) -> f64 {
        match self.probe_sent {
            Some(sent) => self.cooled_until.max(sent + config.cooldown_at(self.level)),
            None => self.cooled_until,
        }
    }

    /// Notes a query sent at `now`.
    #[inline]
    pub(crate) fn note_sent(&mut self, now: f64) {
        if self.level > 0 {
            debug_assert!(now >= self.cooled_until, "a probe while cooling: {self:?} at {now}");
            self.probe_sent = Some(now);
        }
    }

    /// Notes an answer to a query sent at `sent`. True if that closed the breaker.
    #[inline]
    pub(crate) fn note_success(&mut self, sent: f64) -> bool {
        if self.is_old_news(sent) {
            return false;
        }
        if self.level == 0 {
            self.failures_in_a_row = 0;
            return false;
        }
        *self = Self { cooled_until: self.cooled_until, ..Self::default() };
        debug_assert!(self.is_closed() && self.failures_in_a_row == 0, "{self:?}");
        true
    }

    /// Whether a query was sent before the arm was last cooled.
    #[inline]
    fn is_old_news(&self, sent: f64) -> bool {
        sent < self.cooled_until
    }

    /// Notes a failure of a query sent at `sent`. True if that cooled the arm.
    pub(crate) fn note_failure(
        &mut self,
        strike: Strike,
        sent: f64,
        now: f64,
        retry_after: Option<f64>,
        config: &HealthConfig,
    ) -> bool {
        if strike == Strike::None || self.is_old_news(sent) {
            return false;
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let was_probe = self.level > 0;
        let is_over = strike == Strike::CoolDown || self.failures_in_a_row >= config.failures;
        if !(was_probe || is_over) {
            return false;
        }
        self.level = self.level.saturating_add(1);
        self.failures_in_a_row = 0;
        self.probe_sent = None;
        self.cooled_until = now + config.cooldown_at(self.level).max(retry_after.unwrap_or(0.0));
        debug_assert!(!self.is_closed() && self.cooled_until >= now, "{self:?} at {now}");
        true
    }

    /// Checks health that was deserialised.
    pub(crate) fn check_soundness(&self) -> Result<(), Error> {
        let is_sound = self.cooled_until.is_finite()
            && self.cooled_until >= 0.0
            && self.probe_sent.is_none_or(is_time);
        sound(is_sound, "the cool-downs of an arm")
    }
}
