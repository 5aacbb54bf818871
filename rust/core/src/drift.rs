//! What a learner does about a world that changes: forgetting, and a test for change.
//!
//! Two ways out of old knowledge, alone or together. *Forgetting* lets it weigh less as time goes
//! by, whether anything changed or not: discounting (D-UCB) and sliding windows (SW-UCB), both
//! Garivier & Moulines, *On Upper-Confidence Bound Policies for Switching Bandit Problems*, ALT
//! 2011. A *change test* keeps everything until the observations contradict it, then starts the arm
//! anew: the cumulative sum of Page (*Continuous Inspection Schemes*, Biometrika 1954), against the
//! running mean as in the Page-Hinkley test; Liu, Lee & Shroff, *A Change-Detection based Framework
//! for Piecewise-stationary Multi-Armed Bandit Problem*, AAAI 2018, pair it with UCB as here.

use serde::{Deserialize, Serialize};

use crate::checks::check;
use crate::error::Error;
use crate::stats::Moments;

/// What a learner does about change; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// How old observations lose weight.
    pub forgetting: Forgetting,
    /// Whether each arm is tested for change, and how.
    pub change_test: Option<ChangeTest>,
}

/// How old observations lose weight. A prior is forgotten as observations are: it is worth as many
/// of them, made when its arm was added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgetting {
    /// They do not.
    #[default]
    None,
    /// By `factor` with each new observation of the same arm and quantity, so that never more than
    /// the last 1 / (1 - factor) or so count. An arm that is not observed keeps what is known of it.
    PerQuery {
        /// In (0, 1).
        factor: f64,
    },
    /// By `factor` at each stage boundary, for all arms. The bounds of an arm that is not visited
    /// widen from stage to stage, until it is tried again.
    PerStage {
        /// In (0, 1).
        factor: f64,
    },
    /// Whole, once they are older than the running stage and the `stages` before it.
    Window {
        /// Complete stages remembered, in \[1, 4096\]. Each takes some 100 bytes per arm.
        stages: u32,
    },
}

/// A two-sided cumulative sum test on each new reward and each new cost of an arm.
///
/// With `z` the deviation of an observation from the mean of those before it, in their standard
/// deviations and cut off at 3, the sums `S⁺ ← max(0, S⁺ + z − slack)` and
/// `S⁻ ← max(0, S⁻ − z − slack)` stay small while nothing changes; the test fires when one of them
/// exceeds `threshold`. Standardising makes one setting fit rewards, costs in any unit and every
/// spread; the cut-off keeps a single outlier from firing it.
///
/// When it fires, what is known of that quantity of that arm is dropped and the arm explored as if
/// it were new in that respect. The run since the estimated change point (where the sum left 0) is
/// dropped as well: the test chose it for being extreme, so its mean is off towards the side that
/// fired, badly so after a false alarm.
///
/// Sizes: without change the mean of `z` is 0 and the test fires about once in
/// `exp(2 slack threshold) / (2 slack²)` observations; after a change of `d` standard deviations it
/// takes about `threshold / (d − slack)`, and changes below `slack` are left to forgetting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChangeTest {
    /// h > 0, in standard deviations.
    pub threshold: f64,
    /// k, in standard deviations, in (0, 3): half the smallest change worth finding.
    pub slack: f64,
    /// Observations before the first test, in \[2, 1e9\]: mean and spread have to be known by then.
    pub min_samples: u64,
}

impl Default for ChangeTest {
    fn default() -> Self {
        Self { threshold: 30.0, slack: 0.2, min_samples: 30 }
    }
}

/// Deviations are cut off at this many standard deviations.
const LARGEST_DEVIATION: f64 = 3.0;
/// The standard deviation is taken to be at least this share of the mean, so that a quantity that
/// hardly ever varied is not said to have changed when it moves by next to nothing.
const LEAST_SPREAD: f64 = 0.1;
/// Stages that a window can hold at most.
const LONGEST_WINDOW: u32 = 4096;

impl Drift {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the setting and its rule.
    pub fn validate(&self) -> Result<(), Error> {
        self.forgetting.validate()?;
        self.change_test.as_ref().map_or(Ok(()), ChangeTest::validate)
    }

    /// Whether nothing is ever forgotten or tested.
    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.forgetting, Forgetting::None) && self.change_test.is_none()
    }
}

impl Forgetting {
    fn validate(&self) -> Result<(), Error> {
        match *self {
            Self::None => Ok(()),
            Self::PerQuery { factor } | Self::PerStage { factor } => {
                let ok = factor > 0.0 && factor < 1.0;
                check(ok, "forgetting_factor", factor, "must be in (0, 1)")
            }
            Self::Window { stages } => {
                let ok = (1..=LONGEST_WINDOW).contains(&stages);
                check(ok, "window_stages", f64::from(stages), "must be in [1, 4096], in stages")
            }
        }
    }

    /// Stages that are kept apart: those of the window and the running one.
    pub(crate) fn slots(&self) -> usize {
        match *self {
            Self::Window { stages } => stages as usize + 1,
            _ => 0,
        }
    }
}

impl ChangeTest {
    fn validate(&self) -> Result<(), Error> {
        let (h, k, n) = (self.threshold, self.slack, self.min_samples);
        let rule = "must be finite and above 0, in standard deviations";
        check(h.is_finite() && h > 0.0, "change_threshold", h, rule)?;
        let rule = "must be in (0, 3), in standard deviations";
        check(k > 0.0 && k < LARGEST_DEVIATION, "change_slack", k, rule)?;
        let rule = "must be in [2, 1e9], in observations";
        check((2..=1_000_000_000).contains(&n), "change_min_samples", n as f64, rule)
    }
}

/// The two sums of a change test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cusum {
    rise: f64,
    fall: f64,
}

impl Cusum {
    /// Adds one number and says whether the sums now tell of a change. `past` are the moments of
    /// the numbers before it.
    pub(crate) fn fires(&mut self, test: &ChangeTest, x: f64, past: &Moments) -> bool {
        if past.count() < test.min_samples {
            return false;
        }
        let mean = past.mean();
        let least = LEAST_SPREAD * LEAST_SPREAD + 1.0 / past.weight();
        let deviation = (past.variance() + mean * mean * least).sqrt();
        // All zeros so far: no deviation, and anything else is as far off as can be.
        let z = (x - mean) / deviation.max(f64::MIN_POSITIVE);
        let z = z.clamp(-LARGEST_DEVIATION, LARGEST_DEVIATION);
        self.rise = (self.rise + z - test.slack).max(0.0);
        self.fall = (self.fall - z - test.slack).max(0.0);
        self.rise.max(self.fall) > test.threshold
    }
}
