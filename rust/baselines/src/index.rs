//! Indices of the classical bandit policies: what each takes an arm's reward to be.

use serde::Deserialize;
use stageroute_core::checks::check;
use stageroute_core::{Error, Moments, Sampler, kl_upper};

use rand_distr::{Beta, Distribution};

/// How a policy values an arm. An arm that was never tried is worth 1 to all but
/// [`Index::Thompson`], and no arm is worth more: rewards are in \[0, 1\].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Index {
    /// `mean + sqrt(2 ln t / n)` (UCB1; Auer, Cesa-Bianchi & Fischer 2002, figure 1).
    Ucb1,
    /// The furthest point with `n kl(mean, q) ≤ ln t + c ln ln t` (Garivier & Cappé 2011,
    /// algorithm 1).
    KlUcb {
        /// c ≥ 0: 3 in the regret bound; they advise 0 in practice.
        c: f64,
    },
    /// A draw from Beta(successes + 1, failures + 1), where a reward r counts as a success with
    /// probability r (Agrawal & Goyal 2012, algorithm 2).
    Thompson,
    /// The mean; in place of what it leads to, a live arm at random with probability
    /// `min(1, scale K / t)` (ε_n-greedy; Auer et al. 2002, figure 3).
    EpsilonGreedy {
        /// Their c / d², above 0.
        scale: f64,
    },
}

/// What an index knows of an arm's rewards.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rewards {
    pub(crate) moments: Moments,
    /// Of Thompson sampling: how many of them counted as a success.
    successes: u64,
}

impl Index {
    pub(crate) fn validate(self) -> Result<(), Error> {
        match self {
            Self::Ucb1 | Self::Thompson => Ok(()),
            Self::KlUcb { c } => {
                check(c.is_finite() && c >= 0.0, "c", c, "must be finite and not negative")
            }
            Self::EpsilonGreedy { scale } => {
                let rule = "must be finite and above 0";
                check(scale.is_finite() && scale > 0.0, "scale", scale, rule)
            }
        }
    }

    /// Counts a reward.
    pub(crate) fn learn(self, rewards: &mut Rewards, reward: f64, sampler: &mut Sampler) {
        rewards.moments.push(reward);
        if self == Self::Thompson {
            rewards.successes += u64::from(sampler.unit() < reward);
        }
    }

    /// What an arm is taken to be worth, in \[0, 1\], at query t ≥ 1.
    pub(crate) fn value(self, rewards: &Rewards, t: u64, sampler: &mut Sampler) -> f64 {
        let (n, mean) = (rewards.moments.weight(), rewards.moments.mean());
        if self == Self::Thompson {
            let successes = rewards.successes as f64;
            return beta(successes + 1.0, n - successes + 1.0, sampler);
        }
        if n == 0.0 {
            return 1.0;
        }
        let log_t = (t as f64).ln();
        match self {
            Self::Ucb1 => (mean + (2.0 * log_t / n).sqrt()).min(1.0),
            Self::KlUcb { c } => {
                // ln ln t is not positive before t = e.
                let level = log_t + c * log_t.max(1.0).ln();
                kl_upper(mean, level / n)
            }
            Self::Thompson | Self::EpsilonGreedy { .. } => mean,
        }
    }

    /// The probability of a live arm to be tried at random, after `age` queries while it was live
    /// and among `live` arms. Counted for each arm, since arms keep arriving: those that were
    /// there from the start are tried as their schedule says, and new ones start it anew.
    pub(crate) fn exploration(self, age: u64, live: usize) -> f64 {
        match self {
            Self::EpsilonGreedy { scale } => (scale / age.max(1) as f64).min(1.0 / live as f64),
            _ => 0.0,
        }
    }
}

/// A draw from Beta(a, b), both at least 1.
fn beta(a: f64, b: f64, sampler: &mut Sampler) -> f64 {
    // Parameters are counts plus 1, which the distribution always accepts.
    Beta::new(a, b).map_or(a / (a + b), |beta| beta.sample(sampler.generator()))
}
