//! How likely an arm is to answer at all.
//!
//! A query that fails brings nothing, whatever the model could have said, so the chance of an answer
//! belongs to the value of an arm: the LP and the deployment plan with `chance × reward` and with
//! what an attempt costs. Both sides are counted with weights that halve in time, so that an arm that
//! got no traffic for its failures is tried again in the end, and one that has not failed for long is
//! as good as new.
//!
//! Nothing is counted of an arm that does not fail: what it has answered before its first failure is
//! taken from the number of its bills or rewards.

use serde::{Deserialize, Serialize};

use crate::checks::{MOST, is_cost, is_time, sound};
use crate::confidence::Bounds;
use crate::error::Error;
use crate::meters::decay;
use crate::tolerances::NEGLIGIBLE_FAILURES;

/// An arm's earlier answers count as no more than so many.
const MOST_ANSWERS_BEFORE: f64 = 50.0;

/// Answers that every arm is given on top, so that one failure alone does not condemn it.
const PRIOR_ANSWERS: f64 = 1.0;

/// A decayed count of answers and failures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    answers: f64,
    failures: f64,
}

impl Tally {
    fn scale(&mut self, factor: f64) {
        self.answers *= factor;
        self.failures *= factor;
    }
}

/// Answers and failures of one arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answers {
    /// What the arm's value is worked out from.
    known: Tally,
    /// What failures of `known` were billed, USD.
    billed: f64,
    /// What its breaker looks at.
    recent: Tally,
    /// When both were last decayed.
    at: f64,
}

/// Half-lives of both, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HalfLives {
    pub(crate) known: f64,
    pub(crate) recent: f64,
}

impl Answers {
    /// Whether nothing is known against the arm.
    #[inline]
    pub(crate) fn is_clean(&self) -> bool {
        self.known.failures == 0.0
    }

    /// Forgets what time has made worth nothing.
    pub(crate) fn advance(&mut self, now: f64, half_lives: HalfLives) {
        let elapsed = now - self.at;
        if self.is_clean() || elapsed <= 0.0 {
            return;
        }
        let factor = |half_life: f64| decay(std::f64::consts::LN_2 * elapsed / half_life);
        self.recent.scale(factor(half_lives.recent));
        self.known.scale(factor(half_lives.known));
        self.billed *= factor(half_lives.known);
        self.at = now;
        if self.known.failures < NEGLIGIBLE_FAILURES {
            *self = Self::default();
        }
    }

    /// Counts an answer.
    pub(crate) fn note_answer(&mut self, now: f64, half_lives: HalfLives) {
        self.advance(now, half_lives);
        if !self.is_clean() {
            self.known.answers += 1.0;
            self.recent.answers += 1.0;
        }
    }

    /// Counts a failure that was billed `bill` USD, of an arm that had so many answers before.
    pub(crate) fn note_failure(
        &mut self,
        now: f64,
        half_lives: HalfLives,
        answers_before: u64,
        bill: f64,
    ) {
        self.advance(now, half_lives);
        if self.is_clean() {
            self.known.answers = (answers_before as f64).min(MOST_ANSWERS_BEFORE);
            self.at = now;
        }
        self.known.failures += 1.0;
        self.recent.failures += 1.0;
        self.billed += bill;
        debug_assert!(self.at >= 0.0 && !self.is_clean(), "{self:?}");
    }

    /// Puts another bill in the place of that of a failure that was counted.
    pub(crate) fn replace_bill(&mut self, before: f64, bill: f64) {
        if !self.is_clean() {
            self.billed = (self.billed + bill - before).max(0.0);
        }
    }

    /// The chance of an answer, in (0, 1].
    pub(crate) fn chance(&self) -> f64 {
        let answers = self.known.answers + PRIOR_ANSWERS;
        answers / (answers + self.known.failures)
    }

    /// What an attempt is worth and costs, where an answer is worth and costs `bounds`.
    pub(crate) fn of_attempt(&self, bounds: Bounds) -> Bounds {
        if self.is_clean() {
            return bounds;
        }
        let chance = self.chance();
        let failure = self.billed / self.known.failures;
        Bounds {
            reward_ucb: chance * bounds.reward_ucb,
            cost_lcb: chance * bounds.cost_lcb + (1.0 - chance) * failure,
        }
    }

    /// Share of recent attempts that failed, if there were so many.
    pub(crate) fn failure_rate(&self, min_attempts: u32) -> Option<f64> {
        let attempts = self.recent.answers + self.recent.failures;
        (attempts >= f64::from(min_attempts)).then(|| self.recent.failures / attempts)
    }

    /// Whether it has answered of late, however badly.
    pub(crate) fn answers_at_times(&self) -> bool {
        self.is_clean() || self.recent.answers >= 1.0
    }

    /// The breaker starts anew: what came before is no longer recent.
    pub(crate) fn forget_recent(&mut self) {
        self.recent = Tally::default();
    }

    /// Checks what was deserialised.
    pub(crate) fn check_soundness(&self, now: f64) -> Result<(), Error> {
        let counts = [self.known.answers, self.known.failures, self.recent.answers];
        let are_counts = counts
            .iter()
            .chain([&self.recent.failures])
            .all(|&n| n.is_finite() && (0.0..=MOST as f64).contains(&n));
        let is_sound = are_counts && is_cost(self.billed) && is_time(self.at) && self.at <= now;
        sound(is_sound, "the answers of an arm")
    }
}
