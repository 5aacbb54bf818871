//! Optimistic estimates: an upper bound on the reward and a lower bound on the cost of an arm.
//!
//! Every family works on the unit interval. Costs are divided by `cost_ceiling` before and scaled
//! back after, so that results do not depend on the currency's unit. `n` is the weight of the arm's
//! own observations (their number, unless some have been forgotten in part); the radius uses
//! `n + 1`, as Agrawal & Devanur (2014) do.
//!
//! A constant γ lets an arm with an unlucky start fall behind for good. The `growth` setting
//! therefore widens the reward interval of an arm that has been visited less than its fair share,
//! `γ (1 + growth · ln⁺(fair share / (n+1)))`: the logarithm of MOSS (Audibert & Bubeck 2009;
//! anytime form: Degenne & Perchet 2016), which vanishes as the arm catches up. The fair share, the
//! mean weight of the rewards seen per arm, is held fixed during a stage, so that between two
//! boundaries the bounds of an arm change with its own observations only.
//!
//! Logarithms and exponentials are those of `libm`, made of additions and multiplications: the ones of
//! a platform's C library may differ in the last bit, and with them decisions.

use libm::{exp, log};
use serde::{Deserialize, Serialize};

use crate::checks::{check, is_cost};
use crate::error::Error;
use crate::stats::{ArmStats, Moments};

/// How wide the confidence interval around a mean of `n` observations is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfidenceFamily {
    /// As published (Li & Li 2026, after Agrawal & Devanur 2014):
    /// `mean ± 2 (sqrt(γ mean / (n+1)) + γ / (n+1))`.
    /// Faithful, but an arm whose first reward is 0 may never be tried again at small γ.
    Paper,
    /// The same with the empirical variance in place of the mean (empirical Bernstein, Audibert,
    /// Munos & Szepesvári 2009): `mean ± 2 (sqrt(γ v / (n+1)) + γ / (n+1))`, `v = Var + 1/(n+1)`.
    Bernstein,
    /// The furthest point with `(n+1) kl(mean, q) ≤ γ`, kl between Bernoulli laws
    /// (KL-UCB, Garivier & Cappé 2011).
    Kl,
    /// `mean ± sqrt(γ / (2 (n+1)))` (Hoeffding 1963; UCB1, Auer et al. 2002).
    Hoeffding,
}

impl ConfidenceFamily {
    /// All families, by the name each has in configuration.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("paper", Self::Paper),
        ("bernstein", Self::Bernstein),
        ("kl", Self::Kl),
        ("hoeffding", Self::Hoeffding),
    ];

    /// Upper bound on a mean of numbers between 0 and `unit`, not clipped. `n` is the weight + 1.
    fn upper(self, gamma: f64, n: f64, moments: &Moments, unit: f64) -> f64 {
        match self {
            Self::Kl => unit * kl_upper((moments.mean() / unit).min(1.0), gamma / n),
            _ => moments.mean() + self.radius(gamma, n, moments, unit),
        }
    }

    /// Lower bound on a mean of numbers between 0 and `unit`, not clipped. `n` is the weight + 1.
    fn lower(self, gamma: f64, n: f64, moments: &Moments, unit: f64) -> f64 {
        match self {
            Self::Kl => {
                // kl is defined up to the unit; what costs more is a unit of its own.
                let unit = unit.max(moments.mean());
                unit - unit * kl_upper(1.0 - moments.mean() / unit, gamma / n)
            }
            _ => moments.mean() - self.radius(gamma, n, moments, unit),
        }
    }

    /// Half-width of the symmetric families, with the unit multiplied in.
    #[inline]
    fn radius(self, gamma: f64, n: f64, moments: &Moments, unit: f64) -> f64 {
        let per_n = 1.0 / n;
        let gamma_n = gamma * per_n;
        match self {
            Self::Paper => 2.0 * ((gamma_n * unit * moments.mean()).sqrt() + gamma_n * unit),
            Self::Bernstein => {
                let variance = moments.variance() + unit * unit * per_n;
                2.0 * ((gamma_n * variance).sqrt() + gamma_n * unit)
            }
            Self::Hoeffding => unit * (0.5 * gamma_n).sqrt(),
            Self::Kl => 0.0,
        }
    }
}

/// Newton steps in [`kl_upper`]: a bound on the loop, several times what it needs.
const KL_STEPS: u32 = 32;

/// The largest `q ≥ mean` with `kl(mean, q) ≤ level`, kl between Bernoulli laws, in nats.
///
/// kl is convex in q, so Newton's method started above the root falls towards it and never passes
/// it: every iterate is a valid upper bound. Two of them are known to start from: Pinsker's
/// inequality, kl ≥ 2 (q − mean)², and kl ≥ (1 − mean) ln((1 − mean) / (1 − q)) + mean ln mean.
#[must_use]
pub fn kl_upper(mean: f64, level: f64) -> f64 {
    let miss = 1.0 - mean;
    if miss <= 0.0 {
        return 1.0;
    }
    let mean_ln_mean = if mean > 0.0 { mean * log(mean) } else { 0.0 };
    let entropy = mean_ln_mean + miss * log(miss);
    let pinsker = mean + (0.5 * level).sqrt();
    let mut q = pinsker.min(1.0 - miss * exp((mean_ln_mean - level) / miss));
    for _ in 0..KL_STEPS {
        let slope = (q - mean) / (q * (1.0 - q));
        let excess = entropy - mean * log(q) - miss * log(1.0 - q) - level;
        let next = q - excess / slope;
        // Also ends at a NaN, from q = mean or q = 1, where q is already the bound.
        if !(next < q && next > mean) {
            break;
        }
        q = next;
    }
    q
}

/// The optimistic estimates of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// μ^U: upper bound on the mean reward, in \[0, 1\].
    pub reward_ucb: f64,
    /// c^L: lower bound on the mean cost, in USD, at least `cost_floor`.
    pub cost_lcb: f64,
}

impl Bounds {
    /// Whether they can be the data of an LP.
    pub(crate) fn is_sound(&self) -> bool {
        self.reward_ucb.is_finite() && is_cost(self.cost_lcb)
    }
}

/// From statistics to optimistic estimates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Confidence {
    /// Shape of the interval.
    pub family: ConfidenceFamily,
    /// γ > 0: its width. Theory takes Θ(log(NT/δ)); the paper's experiments use 0.1.
    pub gamma: f64,
    /// How fast γ grows for the reward of an arm visited less than its fair share, at least 0; 0 is
    /// as published.
    pub growth: f64,
    /// Upper reward bound of an arm without enough rewards, in \[0, 1\].
    pub initial_reward_ucb: f64,
    /// Lower cost bound of an arm without enough costs, in \[`cost_floor`, `cost_ceiling`\] USD.
    pub initial_cost_lcb: f64,
    /// Forced visits: below this many observations an arm keeps its initial bounds. Forgotten
    /// observations count: a decayed weight may stay below this for ever, which would force visits
    /// to a bad arm without end.
    pub min_visits: u64,
    /// c1 ≥ 0: no mean cost is taken to be below it, USD per query.
    pub cost_floor: f64,
    /// c2 > c1: what a query can cost at most, USD: the unit of the cost radius. A mean above it is
    /// taken as it is, since a bound cut off at c2 would only make such an arm look cheaper; for
    /// `kl`, which is defined up to c2, such a mean is its own unit.
    pub cost_ceiling: f64,
}

impl Confidence {
    /// A family as it stands in its source: no growth, no forced visits, and an unseen arm has a
    /// reward bound of 1 and a cost bound of 0.
    #[must_use]
    pub fn new(family: ConfidenceFamily, gamma: f64, cost_ceiling: f64) -> Self {
        Self {
            family,
            gamma,
            growth: 0.0,
            initial_reward_ucb: 1.0,
            initial_cost_lcb: 0.0,
            min_visits: 0,
            cost_floor: 0.0,
            cost_ceiling,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] naming the field and its rule.
    pub fn validate(&self) -> Result<(), Error> {
        let finite_positive = |v: f64| v.is_finite() && v > 0.0;
        check(finite_positive(self.gamma), "gamma", self.gamma, "must be finite and above 0")?;
        check(
            self.growth.is_finite() && self.growth >= 0.0,
            "growth",
            self.growth,
            "must be finite and not negative",
        )?;
        check(
            self.cost_floor.is_finite() && self.cost_floor >= 0.0,
            "cost_floor",
            self.cost_floor,
            "must be finite and not negative, in USD per query",
        )?;
        check(
            self.cost_ceiling.is_finite() && self.cost_ceiling > self.cost_floor,
            "cost_ceiling",
            self.cost_ceiling,
            "must be finite and above cost_floor, in USD per query",
        )?;
        check(
            (0.0..=1.0).contains(&self.initial_reward_ucb),
            "initial_reward_ucb",
            self.initial_reward_ucb,
            "must be in [0, 1]",
        )?;
        check(
            (self.cost_floor..=self.cost_ceiling).contains(&self.initial_cost_lcb),
            "initial_cost_lcb",
            self.initial_cost_lcb,
            "must be in [cost_floor, cost_ceiling], in USD per query",
        )
    }

    /// The optimistic estimates of an arm. Reward and cost are bounded apart: one may be initial
    /// while the other is learnt. `fair_share` is the mean weight of the rewards seen per arm.
    #[must_use]
    #[inline]
    pub fn bounds(&self, stats: &ArmStats, fair_share: f64) -> Bounds {
        Bounds {
            reward_ucb: self.reward_ucb(&stats.reward, fair_share),
            cost_lcb: self.cost_lcb(&stats.cost),
        }
    }

    pub(crate) fn reward_ucb(&self, reward: &Moments, fair_share: f64) -> f64 {
        if self.is_initial(reward) {
            return self.initial_reward_ucb;
        }
        let n = reward.weight() + 1.0;
        let lag = if n < fair_share { log(fair_share / n) } else { 0.0 };
        let gamma = self.gamma * (1.0 + self.growth * lag);
        self.family.upper(gamma, n, reward, 1.0).clamp(0.0, 1.0)
    }

    pub(crate) fn cost_lcb(&self, cost: &Moments) -> f64 {
        if self.is_initial(cost) {
            return self.initial_cost_lcb;
        }
        let n = cost.weight() + 1.0;
        self.family.lower(self.gamma, n, cost, self.cost_ceiling).max(self.cost_floor)
    }

    /// Whether an arm is yet to have its forced visits, or what is known of it is worth less than
    /// one observation: then it has been forgotten, and one new observation makes it known again.
    #[inline]
    fn is_initial(&self, moments: &Moments) -> bool {
        moments.count() < self.min_visits || moments.weight() < 1.0
    }
}
