//! An arm's breaker, and its answers and failures, as the documentation of both has them.

use stageroute_core::{HealthConfig, Strike};

/// Answers and failures, each with the weight that time has left of it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Tally {
    answers: f64,
    failures: f64,
}

impl Tally {
    fn age(&mut self, seconds: f64, half_life: f64) {
        let left = (-seconds / half_life).exp2();
        self.answers *= left;
        self.failures *= left;
    }

    fn rate(&self) -> f64 {
        self.failures / (self.answers + self.failures)
    }
}

/// What is made of a failure whose share is this close to what trips a breaker depends on rounding.
const CLOSE: f64 = 3e-3;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Health {
    in_a_row: u32,
    /// Cool-downs since the last success.
    pub(crate) level: u32,
    pub(crate) cooled_until: f64,
    cooled_at: f64,
    probe: Option<f64>,
    pub(crate) paused_until: f64,
    /// For the arm's value, and for its breaker.
    known: Tally,
    recent: Tally,
    at: f64,
    /// Whether it was too close to call if the failures are forgotten.
    is_unsure: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            in_a_row: 0,
            level: 0,
            cooled_until: 0.0,
            cooled_at: f64::NEG_INFINITY,
            probe: None,
            paused_until: 0.0,
            known: Tally::default(),
            recent: Tally::default(),
            at: 0.0,
            is_unsure: false,
        }
    }
}

/// What a failure did to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trip {
    No,
    Yes,
    /// It is too close to call.
    Either,
}

fn length(level: u32, config: &HealthConfig) -> f64 {
    let doublings = i32::try_from(level.saturating_sub(1).min(60)).unwrap_or(60);
    (config.cooldown * 2.0_f64.powi(doublings)).min(config.max_cooldown)
}

impl Health {
    pub(crate) fn is_up(&self, now: f64, config: &HealthConfig) -> bool {
        self.opens(config) <= now
    }

    /// When a query may next be sent.
    pub(crate) fn opens(&self, config: &HealthConfig) -> f64 {
        if self.level == 0 {
            return self.paused_until;
        }
        let probed = self.probe.map_or(0.0, |sent| sent + length(self.level, config));
        self.paused_until.max(self.cooled_until).max(probed)
    }

    pub(crate) fn is_paused(&self, now: f64) -> bool {
        now < self.paused_until
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.known.failures == 0.0
    }

    /// Whether it has answered of late; `None` where that depends on when it was last looked at.
    pub(crate) fn answers_at_times(&self, now: f64, config: &HealthConfig) -> Option<bool> {
        if self.is_clean() {
            return (!self.is_unsure).then_some(true);
        }
        let aged = self.aged(now, config);
        if self.is_unsure || aged.is_clean() || aged.known.failures < 0.011 {
            return None;
        }
        let before = self.recent.answers * 1.001;
        let after = aged.recent.answers * 0.999;
        let is_looked_at = (after >= 1.0) == (before >= 1.0);
        is_looked_at.then_some(after >= 1.0)
    }

    fn aged(mut self, now: f64, config: &HealthConfig) -> Self {
        self.age(now, config);
        self
    }

    /// Time goes by.
    pub(crate) fn age(&mut self, now: f64, config: &HealthConfig) {
        let window = config.tolerance.window;
        let half_life = config.tolerance.memory.unwrap_or(window);
        if self.is_clean() || now <= self.at {
            self.is_unsure &= now <= self.at + half_life;
            return;
        }
        self.known.age(now - self.at, half_life);
        self.recent.age(now - self.at, window);
        self.at = now;
        let failures = self.known.failures;
        if failures < 0.01 {
            (self.known, self.recent) = (Tally::default(), Tally::default());
        }
        if (failures - 0.01).abs() < 2e-4 {
            self.is_unsure = true;
        } else if failures < 0.01 {
            self.is_unsure = false;
        }
    }

    pub(crate) fn send(&mut self, now: f64) {
        if self.level > 0 {
            self.probe = Some(now);
        }
    }

    /// An answer to a query sent at `sent`.
    pub(crate) fn succeed(&mut self, sent: f64, now: f64, config: &HealthConfig) {
        let is_news = sent > self.cooled_at;
        let closes = is_news && self.level > 0;
        if is_news {
            (self.in_a_row, self.level, self.probe) = (0, 0, None);
        }
        if self.is_clean() {
            return;
        }
        if closes {
            self.recent = Tally::default();
        }
        self.age(now, config);
        if !self.is_clean() {
            self.known.answers += 1.0;
            self.recent.answers += 1.0;
        }
    }

    /// A failure counts against the arm, which had so many answers before its first.
    pub(crate) fn count_failure(&mut self, answers_before: u64, now: f64, config: &HealthConfig) {
        self.age(now, config);
        if self.is_clean() {
            self.known.answers = (answers_before as f64).min(50.0);
            self.at = now;
        }
        self.known.failures += 1.0;
        self.recent.failures += 1.0;
    }

    pub(crate) fn pause(&mut self, seconds: f64, now: f64, config: &HealthConfig) {
        self.paused_until = now + seconds.min(config.max_cooldown);
    }

    /// Whether a failure of a query sent at `sent` cools the arm.
    pub(crate) fn strike(
        &mut self,
        strike: Strike,
        sent: f64,
        now: f64,
        config: &HealthConfig,
    ) -> Trip {
        if matches!(strike, Strike::None | Strike::Throttle) || sent <= self.cooled_at {
            return Trip::No;
        }
        self.in_a_row += 1;
        let is_over = self.in_a_row >= config.failures;
        if self.level > 0 || strike == Strike::CoolDown || is_over {
            return Trip::Yes;
        }
        let Some(most) = config.tolerance.failure_rate else { return Trip::No };
        if self.is_unsure {
            return Trip::Either;
        }
        // A failure that counts for nothing here is judged by what was known when the arm was last
        // looked at: now, or at its last answer or failure.
        let attempts = |health: &Self| health.recent.answers + health.recent.failures;
        let (most_attempts, fewest) = (attempts(self), attempts(&self.aged(now, config)));
        let least = f64::from(config.tolerance.min_attempts);
        let above = self.recent.rate() - most;
        if most_attempts < least * (1.0 - CLOSE) || above < -CLOSE || most_attempts == 0.0 {
            Trip::No
        } else if fewest < least * (1.0 + CLOSE) || above < CLOSE {
            Trip::Either
        } else {
            Trip::Yes
        }
    }

    pub(crate) fn cool(&mut self, at_least: f64, now: f64, config: &HealthConfig) {
        self.level += 1;
        (self.in_a_row, self.probe, self.cooled_at) = (0, None, now);
        self.cooled_until = now + length(self.level, config).max(at_least);
    }

    pub(crate) fn has_failed(&self, now: f64, config: &HealthConfig) -> bool {
        self.level >= config.failed_after && now < self.cooled_until
    }

    pub(crate) fn end_cooldown(&mut self, now: f64) {
        *self = Self { cooled_at: now, ..Self::default() };
    }

    /// The chance of an answer, one answer given to everyone, if something happened at `now`.
    pub(crate) fn chance_at(&self, now: f64) -> Option<f64> {
        let Tally { answers, failures } = self.known;
        let is_known = self.at == now && failures > 0.02 && !self.is_unsure;
        is_known.then(|| (answers + 1.0) / (answers + 1.0 + failures))
    }
}
