//! What is known of an arm: running moments of its reward and, apart from them, of its cost.

use serde::{Deserialize, Serialize};

use crate::checks::{BILL_RULE, REWARD_RULE, check, is_bill, is_reward};
use crate::error::Error;
use crate::tolerances::NEGLIGIBLE_WEIGHT;

/// Whether a weight is no knowledge any more.
pub(crate) fn is_negligible(weight: f64) -> bool {
    weight < NEGLIGIBLE_WEIGHT
}

/// Running moments that can forget. Implemented for numbers here and for token usage in `usage`,
/// so that what forgets and what tests for change need not know which of the two it handles.
pub(crate) trait Accumulator: Copy + Default {
    /// What is observed.
    type Item: Copy;
    /// Adds one observation, of weight 1.
    fn push(&mut self, x: Self::Item);
    /// Adds all that `other` has seen.
    fn merge(&mut self, other: &Self);
    /// Multiplies every weight by `factor`.
    fn discount(&mut self, factor: f64);
    /// What the observations are worth now.
    fn weight(&self) -> f64;
    /// Takes over how many observations `other` has seen.
    fn set_count_of(&mut self, other: &Self);
}

/// Weight, mean and centred second moment of a stream of numbers.
///
/// Updated by Welford's recurrence (Welford 1962), merged by the pairwise formula of Chan, Golub &
/// `LeVeque` (1979): neither subtracts large sums from each other, so the variance stays accurate
/// when the spread is tiny against the mean, and over 1e9 updates.
///
/// Every number comes with weight 1, and [`Moments::discount`] makes all that came before weigh
/// less. The weight is what the moments are worth as knowledge; how many numbers were seen is
/// counted apart and never decays. Without discounting the two are equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    /// Sum of the weights: without discounting a whole number, exact below 2^53.
    weight: f64,
    mean: f64,
    /// Weighted sum of squared deviations from the mean.
    m2: f64,
}

impl Moments {
    /// What is believed beforehand: worth `weight` observations, all equal to `mean`.
    #[must_use]
    pub fn prior(mean: f64, weight: u64) -> Self {
        let mean = if weight == 0 { 0.0 } else { mean };
        Self { count: weight, weight: weight as f64, mean, m2: 0.0 }
    }

    pub(crate) fn from_parts(count: u64, weight: f64, mean: f64, m2: f64) -> Self {
        Self { count, weight, mean, m2 }
    }

    /// Adds one number.
    #[inline]
    pub fn push(&mut self, x: f64) {
        self.count += 1;
        self.weight += 1.0;
        let delta = x - self.mean;
        self.mean += delta / self.weight;
        self.m2 += delta * (x - self.mean);
    }

    /// Adds all that `other` has seen, as if its numbers had been pushed here.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        if other.weight == 0.0 {
            return;
        }
        let (n, m) = (self.weight, other.weight);
        let delta = other.mean - self.mean;
        self.weight += m;
        self.mean += delta * (m / (n + m));
        self.m2 += other.m2 + delta * delta * (n * m / (n + m));
    }

    /// Makes all numbers so far weigh `factor` times what they did; mean and variance stay. What
    /// is worth next to nothing after that is forgotten.
    #[inline]
    pub fn discount(&mut self, factor: f64) {
        self.weight *= factor;
        self.m2 *= factor;
        if is_negligible(self.weight) {
            *self = Self { count: self.count, ..Self::default() };
        }
    }

    /// How many numbers were seen, forgotten ones included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many observations they are worth now; the count, where nothing was discounted.
    #[must_use]
    #[inline]
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// Their mean; 0 where nothing is known.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Their population variance (divided by the weight); 0 where nothing is known.
    #[must_use]
    #[inline]
    pub fn variance(&self) -> f64 {
        if self.weight == 0.0 { 0.0 } else { self.m2 / self.weight }
    }

    /// Their weighted sum.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.mean * self.weight
    }

    /// The weighted sum of their squares.
    #[must_use]
    pub fn sum_of_squares(&self) -> f64 {
        self.m2 + self.mean * self.sum()
    }
}

impl Accumulator for Moments {
    type Item = f64;

    #[inline]
    fn push(&mut self, x: f64) {
        Self::push(self, x);
    }

    fn merge(&mut self, other: &Self) {
        Self::merge(self, other);
    }

    #[inline]
    fn discount(&mut self, factor: f64) {
        Self::discount(self, factor);
    }

    fn weight(&self) -> f64 {
        self.weight
    }

    fn set_count_of(&mut self, other: &Self) {
        self.count = other.count;
    }
}

/// Everything observed of one arm. Rewards may be missing where costs are known, so each keeps a
/// count of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmStats {
    /// Rewards seen, in \[0, 1\].
    pub reward: Moments,
    /// Costs seen, in USD. Of an arm that learns token usage: what the usage seen would have cost
    /// at the present prices.
    pub cost: Moments,
}

impl ArmStats {
    /// Adds one observation; either part may be absent.
    ///
    /// # Errors
    /// [`Error::InvalidNumber`] for a reward outside \[0, 1\] or a cost outside \[0, 1e9\] USD.
    pub fn observe(&mut self, reward: Option<f64>, cost: Option<f64>) -> Result<(), Error> {
        check_observation(reward, cost)?;
        if let Some(r) = reward {
            self.reward.push(r);
        }
        if let Some(c) = cost {
            self.cost.push(c);
        }
        Ok(())
    }

    /// Adds a batch of rewards and a batch of costs, which need not be of one length.
    ///
    /// # Errors
    /// As [`ArmStats::observe`]; nothing of the batch is counted then.
    pub fn observe_batch(&mut self, rewards: &[f64], costs: &[f64]) -> Result<(), Error> {
        crate::checks::check_all("rewards", rewards, REWARD_RULE, is_reward)?;
        crate::checks::check_all("costs", costs, BILL_RULE, is_bill)?;
        for &reward in rewards {
            self.reward.push(reward);
        }
        for &cost in costs {
            self.cost.push(cost);
        }
        Ok(())
    }

    /// Adds all that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        self.reward.merge(&other.reward);
        self.cost.merge(&other.cost);
    }
}

/// Checks one observation without counting it.
#[inline]
pub(crate) fn check_observation(reward: Option<f64>, cost: Option<f64>) -> Result<(), Error> {
    if let Some(r) = reward {
        check(is_reward(r), "reward", r, REWARD_RULE)?;
    }
    if let Some(c) = cost {
        check(is_bill(c), "cost", c, BILL_RULE)?;
    }
    Ok(())
}
