//! What is known of an arm: running moments of its reward and, apart from them, of its cost.

use crate::error::{BILL_RULE, Error, REWARD_RULE, check, is_bill, is_reward};

/// Count, mean and centred second moment of a stream of numbers.
///
/// Updated by Welford's recurrence (Welford 1962), merged by the pairwise formula of Chan, Golub &
/// `LeVeque` (1979): neither subtracts large sums from each other, so the variance stays accurate
/// when the spread is tiny against the mean, and over 1e9 updates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    /// Sum of squared deviations from the mean.
    m2: f64,
}

impl Moments {
    /// What is believed beforehand: worth `weight` observations, all equal to `mean`.
    #[must_use]
    pub fn prior(mean: f64, weight: u64) -> Self {
        Self { count: weight, mean: if weight == 0 { 0.0 } else { mean }, m2: 0.0 }
    }

    /// Adds one number.
    #[inline]
    pub fn push(&mut self, x: f64) {
        self.count += 1;
        let delta = x - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (x - self.mean);
    }

    /// Adds all that `other` has seen, as if its numbers had been pushed here.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        self.mean += delta * (m / (n + m));
        self.m2 += other.m2 + delta * delta * (n * m / (n + m));
    }

    /// How many numbers were seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; 0 before the first.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Their population variance (divided by the count); 0 before the second.
    #[must_use]
    #[inline]
    pub fn variance(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.m2 / self.count as f64 }
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.mean * self.count as f64
    }

    /// The sum of their squares.
    #[must_use]
    pub fn sum_of_squares(&self) -> f64 {
        self.m2 + self.mean * self.sum()
    }
}

/// Everything observed of one arm. Rewards may be missing where costs are known, so each keeps a
/// count of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ArmStats {
    /// Rewards seen, in \[0, 1\].
    pub reward: Moments,
    /// Costs seen, in USD.
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
        crate::error::check_all("rewards", rewards, REWARD_RULE, is_reward)?;
        crate::error::check_all("costs", costs, BILL_RULE, is_bill)?;
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
