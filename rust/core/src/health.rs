//! Health of arms: a circuit breaker for each.
//!
//! Failures in a row, or too large a share of failures in the last minute, *cool* an arm: it gets no
//! traffic for a while that doubles with every relapse. After that it is *half open*: one query at a
//! time is let through as a probe; a success closes the breaker, a failure cools the arm again.
//! Feedback for decisions made before the arm was cooled says nothing new and is not counted here.
//! (The pattern: Nygard, *Release It!*, 2007.)
//!
//! Apart from its breaker an arm *pauses* for as long as its provider has asked for last.

use serde::{Deserialize, Serialize};

use crate::answers::HalfLives;
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
    /// What is made of failures that are not in a row.
    pub tolerance: Tolerance,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            cooldown: 5.0,
            max_cooldown: 300.0,
            failed_after: 3,
            tolerance: Tolerance::default(),
        }
    }
}

/// What is made of failures that are not in a row, of refusals for too much traffic, and of a live
/// set most of which is out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Share of failures among recent attempts that cools an arm, in (0, 1]; `None` for none.
    pub failure_rate: Option<f64>,
    /// From so many recent attempts on, at least 1.
    pub min_attempts: u32,
    /// Half-life of what is recent, seconds, above 0.
    pub window: f64,
    /// Half-life of an arm's failures in the chance of an answer that its value is worked out with,
    /// seconds, above 0; `None` if failures do not change the value.
    pub memory: Option<f64>,
    /// When a larger share of the live arms is cooling down than this, those among them that answer at
    /// times get traffic all the same; in \[0, 1\], and never at 1.
    pub panic_threshold: f64,
    /// Whether an arm's traffic is held to what its provider lets through.
    pub learns_limits: bool,
}

impl Tolerance {
    /// Failures in a row are all that counts: as the first version had it.
    pub const NONE: Self = Self {
        failure_rate: None,
        min_attempts: 1,
        window: 60.0,
        memory: None,
        panic_threshold: 1.0,
        learns_limits: false,
    };

    fn validate(&self) -> Result<(), Error> {
        let rate = self.failure_rate.unwrap_or(1.0);
        check(rate > 0.0 && rate <= 1.0, "failure_rate", rate, "must be in (0, 1]")?;
        let rule = "must be at least 1";
        check(self.min_attempts >= 1, "min_attempts", f64::from(self.min_attempts), rule)?;
        let rule = "must be finite and above 0, in seconds";
        let is_length = |seconds: f64| seconds.is_finite() && seconds > 0.0;
        check(is_length(self.window), "window", self.window, rule)?;
        let memory = self.memory.unwrap_or(1.0);
        check(is_length(memory), "memory", memory, rule)?;
        let threshold = self.panic_threshold;
        check((0.0..=1.0).contains(&threshold), "panic_threshold", threshold, "must be in [0, 1]")
    }

    pub(crate) fn half_lives(&self) -> HalfLives {
        HalfLives { known: self.memory.unwrap_or(self.window), recent: self.window }
    }

    /// Whether failures are counted at all.
    pub(crate) fn counts_failures(&self) -> bool {
        self.memory.is_some() || self.failure_rate.is_some()
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self {
            failure_rate: Some(0.5),
            min_attempts: 10,
            window: 60.0,
            memory: Some(300.0),
            panic_threshold: 0.5,
            learns_limits: true,
        }
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
        check(longest.is_finite() && longest >= self.cooldown, "max_cooldown", longest, rule)?;
        self.tolerance.validate()
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
    /// Too much traffic for the provider: the arm works, and gets less.
    Throttle,
}

impl Strike {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::None, Self::Failure, Self::CoolDown, Self::Throttle];
}

/// The breaker of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Health {
    failures_in_a_row: u32,
    /// Cool-downs since the last success; 0 is a closed breaker.
    level: u32,
    /// Until when it was last cooled, seconds; also when it has closed since.
    cooled_until: f64,
    /// When the probe under way was sent.
    probe_sent: Option<f64>,
    /// When it was last cooled; before all time, if it never was.
    #[serde(skip)]
    cooled_at: f64,
    /// Until when its provider wants no traffic.
    #[serde(skip)]
    paused_until: f64,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            failures_in_a_row: 0,
            level: 0,
            cooled_until: 0.0,
            probe_sent: None,
            cooled_at: f64::NEG_INFINITY,
            paused_until: 0.0,
        }
    }
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
        !self.is_paused(now)
            && (self.is_closed()
                || (now >= self.cooled_until
                    && self
                        .probe_sent
                        .is_none_or(|sent| now >= sent + config.cooldown_at(self.level))))
    }

    /// Whether its provider wants no traffic.
    #[must_use]
    #[inline]
    pub fn is_paused(&self, now: f64) -> bool {
        now < self.paused_until
    }

    /// Whether a pause is on, or over but not yet forgotten.
    pub(crate) fn has_pause(&self) -> bool {
        self.paused_until > 0.0
    }

    /// Forgets a pause that is over.
    pub(crate) fn forget_pause(&mut self, now: f64) {
        if !self.is_paused(now) {
            self.paused_until = 0.0;
        }
    }

    /// Takes the provider's latest word on how long it wants no traffic.
    pub(crate) fn pause(&mut self, seconds: f64, now: f64, config: &HealthConfig) {
        self.paused_until = now + seconds.min(config.max_cooldown);
    }

    /// Ends cool-down and pause: the arm is as good as one that never failed.
    pub(crate) fn reset(&mut self, now: f64) {
        *self = Self { cooled_at: now, ..Self::default() };
    }

    /// What the first version of the state does not hold of it.
    pub(crate) fn later(&self) -> (Option<f64>, f64) {
        (Some(self.cooled_at).filter(|at| at.is_finite()), self.paused_until)
    }

    /// Puts that back. In the first version no query was sent while an arm was cooling, so that all
    /// that was sent before the end was sent before the start.
    pub(crate) fn set_later(&mut self, later: Option<(Option<f64>, f64)>) {
        let first = || ((self.cooled_until > 0.0).then(|| self.cooled_until.next_down()), 0.0);
        let (cooled_at, paused_until) = later.unwrap_or_else(first);
        self.cooled_at = cooled_at.unwrap_or(f64::NEG_INFINITY);
        self.paused_until = paused_until;
    }

    /// Until when it was last cooled.
    pub(crate) fn cooled_until(&self) -> f64 {
        self.cooled_until
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

    /// When a query may next be sent.
    #[must_use]
    pub fn reopens(&self, config: &HealthConfig) -> f64 {
        let cooled_until = if self.is_closed() { 0.0 } else { self.cooled_until };
        let probed = self.probe_sent.map_or(0.0, |sent| sent + config.cooldown_at(self.level));
        cooled_until.max(probed).max(self.paused_until)
    }

    /// Notes a query sent at `now`.
    #[inline]
    pub(crate) fn note_sent(&mut self, now: f64) {
        if self.level > 0 {
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
        let Self { cooled_until, cooled_at, paused_until, .. } = *self;
        *self = Self { cooled_until, cooled_at, paused_until, ..Self::default() };
        debug_assert!(self.is_closed() && self.failures_in_a_row == 0, "{self:?}");
        true
    }

    /// Whether a query was sent before the arm was last cooled.
    #[inline]
    fn is_old_news(&self, sent: f64) -> bool {
        sent <= self.cooled_at
    }

    /// Notes a failure of a query sent at `sent`; `is_too_often` if failures are too large a share of
    /// the attempts. True if that cooled the arm, for `at_least` seconds.
    pub(crate) fn note_failure(
        &mut self,
        strike: Strike,
        is_too_often: bool,
        at_least: f64,
        sent: f64,
        now: f64,
        config: &HealthConfig,
    ) -> bool {
        if matches!(strike, Strike::None | Strike::Throttle) || self.is_old_news(sent) {
            return false;
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let was_probe = self.level > 0;
        let is_over = strike == Strike::CoolDown || self.failures_in_a_row >= config.failures;
        if !(was_probe || is_over || is_too_often) {
            return false;
        }
        self.level = self.level.saturating_add(1);
        self.failures_in_a_row = 0;
        self.probe_sent = None;
        self.cooled_at = now;
        self.cooled_until = now + config.cooldown_at(self.level).max(at_least);
        debug_assert!(!self.is_closed() && self.cooled_until >= now, "{self:?} at {now}");
        true
    }

    /// Checks health that was deserialised.
    pub(crate) fn check_soundness(&self) -> Result<(), Error> {
        let is_sound = self.cooled_until.is_finite()
            && self.cooled_until >= 0.0
            && self.probe_sent.is_none_or(is_time)
            && !self.cooled_at.is_nan()
            && is_time(self.paused_until);
        sound(is_sound, "the cool-downs of an arm")
    }
}
